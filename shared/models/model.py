"""What teachers and students share once loaded: their tables' limits, and how they are called.

Shapes: B mixes in a batch, T positions, C logits (1 for regression).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Logits
from mixkd.shared.errors import ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import InputEmbeddings, MixBatch
from mixkd.shared.models.quietly import PROPOSAL

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def usual_inputs(model: Any, batch: MixBatch) -> dict[str, Any]:
    """Make the usual inputs of a model: ids, mask and types [B, T] of a batch's left sides."""
    inputs = {"input_ids": batch.left_ids, "attention_mask": batch.left_mask}
    # Some tokenizers give types to models that take none.
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    if takes_types and batch.left_types is not None:
        inputs["token_type_ids"] = batch.left_types
    return inputs


def to_tensors(batch: MixBatch, device: torch.device | str) -> MixBatch:
    """Move a batch of arrays to a device."""
    return batch.map(lambda array: to_tensor(array, device))


def to_tensor(array: npt.NDArray[Any], device: torch.device | str) -> Tensor:
    """Move an array to a device; pinned first for CUDA, so that the copy need not be waited for."""
    import torch

    # Arrays that are views of a memory map cannot be written to, which torch warns about.
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_array(logits: Tensor) -> Logits:
    """Move logits to the host: float32 [B, C]."""
    return cast(Logits, logits.float().cpu().numpy())


def pad_id(name: str, model: Any, tokenizer_pad_id: int | None) -> int:
    """Find the id that fills up short rows: the model's, else its tokenizer's.

    Raises:
        ModelError: If there is none that the model has an embedding for.
    """
    pad_id = getattr(model.config, "pad_token_id", None)
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
    return int(pad_id)


def check_positions(name: str, model: Any, max_length: int) -> None:
    """Refuse a table of too few positions.

    Raises:
        ModelError: Naming the longest input that it takes.
    """
    positions = position_count(model)
    if positions is not None and max_length > positions:
        raise ModelError(
            name,
            expected=f"--max-length of at most {positions}, the model's positions",
            found=max_length,
            do=f"use --max-length {positions}",
        )


def position_count(model: Any) -> int | None:
    """Count the positions of a model; None if there is no limit, as relative and rotary ones have
    none."""
    counts = []
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and hasattr(module, "weight"):
            # RoBERTa and its kin count positions from the pad id on.
            unused = getattr(module, "padding_idx", None)
            counts.append(module.weight.shape[0] - (0 if unused is None else unused + 1))
    return min(counts, default=None)


def check_ids(
    where: object, embeddings: InputEmbeddings, splits: Iterable[Examples], do: str
) -> None:
    """Refuse examples with ids or types beyond a model's tables.

    They would be an error deep inside the model, or end a CUDA process.

    Raises:
        ModelError: Naming the size of the table, the largest id, and what to `do`.
    """
    for examples in splits:
        tables: list[tuple[str, Any, Any]] = [
            ("token ids", embeddings.word, examples.input_ids),
            ("token types", embeddings.token_type, examples.token_type_ids),
        ]
        for what, table, numbers in tables:
            if table is None or numbers is None:
                continue
            size, largest = table.weight.shape[0], int(numbers.flat.max(initial=0))
            if largest >= size:
                raise ModelError(
                    where,
                    expected=f"{what} below {size}, the size of the model's table",
                    found=largest,
                    do=do,
                )
