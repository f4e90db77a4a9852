"""Loading a classifier with care: no code from elsewhere, no invented weights, no noise."""

from __future__ import annotations

from typing import Any

from mixkd.shared.errors import ModelError, UntrainedHeadError
from mixkd.shared.models.checkpoint import Checkpoint, weight_files
from mixkd.shared.models.files import PROPOSAL, first_line, quiet


def load_model(checkpoint: Checkpoint) -> Any:
    """The sequence classification model of `checkpoint` on the CPU, with all its weights.

    Raises:
        ModelError: If `transformers` cannot load it.
        UntrainedHeadError: If some weights, such as the classifier's, are missing or of another
            shape: `from_pretrained` would make them up.
    """
    model, made_up = from_files(
        checkpoint,
        expected="a sequence classification model that transformers can load",
        do="use another teacher, or save it again with save_pretrained",
    )
    invented = sorted(made_up & {name for name, _ in model.named_parameters()})
    if invented:
        more = f" and {len(invented) - 3} more" if len(invented) > 3 else ""
        raise UntrainedHeadError(
            checkpoint.name,
            expected=f"all weights of {type(model).__name__}",
            found=f"none that fit {', '.join(invented[:3])}{more}",
            do="fine-tune it first: cache-teacher finetune",
        )
    return model.eval().requires_grad_(False)


def from_files(
    checkpoint: Checkpoint, *, expected: str, do: str, **config: Any
) -> tuple[Any, set[str]]:
    """A float32 classifier on the CPU, and the names of weights that its files do not have.

    Args:
        expected, do: For the message.
        config: Entries of the model's config to replace.

    Raises:
        ModelError: If `transformers` cannot load it.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    weight_files(checkpoint)
    try:
        with quiet():
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                checkpoint.folder,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # reported by name
                output_loading_info=True,
                **config,
            )
    except Exception as error:  # unknown classes or arguments, demands of its own, odd shapes
        raise ModelError(
            checkpoint.name, expected=expected, found=first_line(error), do=do
        ) from error
    return model, {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}


def pad_id(name: str, model: Any, tokenizer_pad_id: int | None) -> int:
    """The id that fills up short rows: the model's, else its tokenizer's."""
    pad_id = model.config.pad_token_id
    if pad_id is None or pad_id < 0:
        pad_id = tokenizer_pad_id
    size = model.get_input_embeddings().weight.shape[0]
    if pad_id is None or not 0 <= pad_id < size:
        raise ModelError(
            name,
            expected=f"a padding token below {size} in the model's config or its tokenizer",
            found="none" if pad_id is None else pad_id,
            do=PROPOSAL,
        )
    # Some models look for the last token themselves and need to be told.
    model.config.pad_token_id = pad_id
    return int(pad_id)


def check_positions(name: str, model: Any, max_length: int) -> None:
    """Only a table of positions is a limit; relative and rotary positions have none."""
    for module_name, module in model.named_modules():
        if not module_name.endswith("position_embeddings") or not hasattr(module, "weight"):
            continue
        # RoBERTa and its kin count positions from the pad id on.
        unused = getattr(module, "padding_idx", None)
        positions = module.weight.shape[0] - (0 if unused is None else unused + 1)
        if max_length > positions:
            raise ModelError(
                name,
                expected=f"--max-length of at most {positions}, the model's positions",
                found=max_length,
                do=f"use --max-length {positions}",
            )
