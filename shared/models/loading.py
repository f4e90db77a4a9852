"""Load a classifier: `transformers` builds it, and what its files lack is reported by name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mixkd.shared.errors import MalformedError, ModelError, UntrainedHeadError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.shared.models.checkpoint import CONFIG, label_names, read_config, weight_files
from mixkd.shared.models.config import LABEL_TABLES, build_config
from mixkd.shared.models.locate import Checkpoint
from mixkd.shared.models.quietly import named_errors
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.untrusted import (
    as_many_parameters_as,
    check_config,
    check_numbers,
    check_outline,
    incomplete,
    read_tensors,
)

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

    @classmethod
    def of(cls, config: dict[str, Any]) -> Labels:
        """Take those of a trained head, by its config as a table.

        Older configs do not say the problem type: there the number of labels decides.
        """
        names = tuple(label_names(config))
        usual = REGRESSION if len(names) == 1 else CLASSIFICATION
        return cls(names, str(config.get("problem_type") or usual))

    def put_into(self, config: Any) -> None:
        """Let a config of `transformers` describe this head."""
        config.id2label = dict(enumerate(self.names))
        config.label2id = {name: number for number, name in enumerate(self.names)}
        config.problem_type = self.problem_type


def load_classifier(
    checkpoint: Checkpoint, labels: Labels | None = None, seed: int = 0
) -> tuple[Any, set[str]]:
    """Load a sequence classifier that the user trusts, in float32 on the CPU, in eval mode.

    Args:
        labels: The head's. Weights of the head that do not fit them are randomly initialised under
            `seed`. Without labels the head must be in the files, as a teacher's is.

    Returns:
        The model, and the names of the weights that were randomly initialised.

    Raises:
        ModelError: If `transformers` cannot load it, it asks for code or files from elsewhere, or
            weights of its encoder are missing.
        UntrainedHeadError: Without labels, if any weights are missing or have a different shape.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    classifiers: Any = AutoModelForSequenceClassification
    weight_files(checkpoint)
    read = read_config(checkpoint)
    with named_errors(ModelError, f"{checkpoint.name}/{CONFIG}", **MESSAGE):
        config = build_config(read)
        if labels is not None:
            labels.put_into(config)
    if labels is not None:
        torch.manual_seed(seed)
    with named_errors(ModelError, checkpoint.name, **MESSAGE):
        model, report = classifiers.from_pretrained(
            checkpoint.folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # reported by name
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    initialised = _initialised(report)
    # Older checkpoints lack buffers, which are computed.
    absent = sorted(initialised & {name for name, _ in model.named_parameters()})
    if labels is None:
        _check_trained(checkpoint.name, model, absent)
    _check_encoder(checkpoint.name, model, absent)
    return model.eval(), initialised


def load_student(
    files: ModelFiles, labels: Labels | None, seed: int = 0, allowed: Collection[str] = ()
) -> Any:
    """Load a sequence classifier from a stranger's files, in float32 on the CPU, in eval mode.

    Args:
        labels: The head's. Its weights are randomly initialised under `seed` if none fit. Without
            labels the head must be in the files, as that of a finished student is.
        allowed: Types of models that may be built beside the tested ones.

    Raises:
        MalformedError: If `transformers` cannot load it.
        UnsafeFileError: If the files ask for what no model needs.
        ModelError: If weights of its encoder are missing.
        UntrainedHeadError: Without labels, if any weights are missing or have a different shape.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    classifiers: Any = AutoModelForSequenceClassification
    where = files.path(CONFIG)
    config = check_config(files, allowed)
    head = Labels.of(config) if labels is None else labels
    settings = {k: v for k, v in config.items() if k not in LABEL_TABLES}
    settings.pop("num_labels", None)
    tensors = read_tensors(files)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_numbers(settings, shapes, where)
    with named_errors(MalformedError, where, **MESSAGE):
        config = build_config(settings)
        head.put_into(config)
        with torch.device("meta"), as_many_parameters_as(shapes, where):
            outline = classifiers.from_config(config)
        check_outline(outline, shapes, where)
    torch.manual_seed(seed)
    with named_errors(MalformedError, files.name, **MESSAGE):
        model, report = type(outline).from_pretrained(
            None,  # no path
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    absent = sorted(_initialised(report))
    if labels is None:
        _check_trained(files.name, model, absent)
    _check_encoder(files.name, model, absent)
    return model.eval()


def _initialised(report: Any) -> set[str]:
    return {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}


def _check_trained(name: str, model: Any, absent: list[str]) -> None:
    """Refuse a model of which any weights were randomly initialised."""
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise UntrainedHeadError(
            name,
            expected=f"all weights of {type(model).__name__}",
            found=f"none that fit {', '.join(absent[:3])}{more}",
            do="fine-tune it first: cache-teacher finetune",
        )


def _check_encoder(name: str, model: Any, absent: list[str]) -> None:
    """Refuse a model of which more than its head was randomly initialised."""
    prefix = f"{model.base_model_prefix}."
    encoder = [each for each in absent if each.startswith(prefix) and "pooler" not in each]
    if encoder:
        raise incomplete(name, encoder)
