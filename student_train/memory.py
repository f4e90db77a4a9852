"""Say what to do when the device of a run has too little memory."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.device import memory_for


def memory_for_step(
    batch: MixBatch, batch_size: int, device: torch.device
) -> AbstractContextManager[None]:
    """Turn running out of memory in a training step into an error that names a smaller one."""
    return memory_for(f"a step of {_shape(batch)} tokens", device, _advice(batch_size // 2))


def memory_for_validation(
    batch: MixBatch, at_once: int, device: torch.device
) -> AbstractContextManager[None]:
    """Do the same in validation, whose `at_once` rows are at most twice the batch size."""
    what = f"{_shape(batch)} tokens of validation"
    return memory_for(what, device, _advice(at_once // 4))


def _shape(batch: MixBatch) -> str:
    rows, width = batch.left_ids.shape
    return f"{rows} x {width}"


def _advice(batch_size: int) -> str:
    if batch_size < 1:
        return "use a smaller student, or --device cpu"
    return f"use --batch-size {batch_size} with a new --out, or a smaller student"
