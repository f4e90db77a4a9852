"""Load a classifier: `transformers` builds it, and what its files lack is reported by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mixkd.shared.errors import UntrainedHeadError
from mixkd.shared.models.checkpoint import CONFIG, weight_files
from mixkd.shared.models.locate import Checkpoint, Trust
from mixkd.shared.models.quietly import named_errors
from mixkd.shared.models.untrusted import Shapes, check_model, check_shapes, incomplete

MESSAGE = {
    "expected": "a sequence classification model that transformers can load",
    "do": "it needs a model type that transformers knows and weights in safetensors; save it again "
    "with save_pretrained",
}


@dataclass(frozen=True, slots=True)
class Labels:
    """What a new head answers: the names of its classes in order, and the problem type."""

    names: tuple[str, ...]
    problem_type: str


def load_classifier(
    checkpoint: Checkpoint, labels: Labels | None = None, seed: int = 0
) -> tuple[Any, set[str]]:
    """Load a sequence classifier in float32 on the CPU, in eval mode.

    Args:
        labels: The head's. Weights of the head that do not fit them are randomly initialised under
            `seed`. Without labels the head must be in the files, as a teacher's is.

    Returns:
        The model, and the names of the weights that were randomly initialised.

    Raises:
        ModelError, MalformedError: By the checkpoint's trust, if `transformers` cannot load it.
        ModelError: If weights of its encoder are missing.
        UntrainedHeadError: Without labels, if any weights are missing or have a different shape.
        UnsafeFileError, MissingFileError: If a stranger's files ask for what no model needs.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder, trust = checkpoint.folder, checkpoint.trust
    classifiers: Any = AutoModelForSequenceClassification
    safely: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    shapes = check_model(folder) if trust is Trust.STRANGER else None
    weight_files(checkpoint)
    with named_errors(trust.error, f"{checkpoint.name}/{CONFIG}", **MESSAGE):
        config = AutoConfig.from_pretrained(folder, **safely)
        if labels is not None:
            config.id2label = dict(enumerate(labels.names))
            config.label2id = {name: number for number, name in enumerate(labels.names)}
            config.problem_type = labels.problem_type
        if shapes is not None:
            _check_outline(checkpoint, config, shapes)
    if labels is not None:
        torch.manual_seed(seed)
    with named_errors(trust.error, checkpoint.name, **MESSAGE):
        model, report = classifiers.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # reported by name
            output_loading_info=True,
            **safely,
        )
    initialised = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    _check_initialised(checkpoint, model, initialised, whole=labels is None)
    return model.eval(), initialised


def _check_outline(checkpoint: Checkpoint, config: Any, shapes: Shapes) -> None:
    """Compare the model that a config describes, built without memory, with the actual weights."""
    import torch
    from transformers import AutoModelForSequenceClassification

    build: Any = AutoModelForSequenceClassification.from_config
    with torch.device("meta"):
        outline = build(config)
    wanted = {name: tuple(weight.shape) for name, weight in outline.named_parameters()}
    prefix = f"{outline.base_model_prefix}."
    check_shapes(wanted, prefix, shapes, checkpoint.folder / CONFIG)


def _check_initialised(
    checkpoint: Checkpoint, model: Any, initialised: set[str], whole: bool
) -> None:
    """Refuse a model of which more than its head was randomly initialised; if `whole`, of which
    anything was."""
    absent = sorted(initialised)
    if checkpoint.trust is Trust.OWN:  # older checkpoints lack buffers, which are computed
        parameters = {name for name, _ in model.named_parameters()}
        absent = [name for name in absent if name in parameters]
    if whole and absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise UntrainedHeadError(
            checkpoint.name,
            expected=f"all weights of {type(model).__name__}",
            found=f"none that fit {', '.join(absent[:3])}{more}",
            do="fine-tune it first: cache-teacher finetune",
        )
    prefix = f"{model.base_model_prefix}."
    encoder = [name for name in absent if name.startswith(prefix) and "pooler" not in name]
    if encoder:
        raise incomplete(checkpoint.name, encoder)
