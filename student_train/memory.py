"""Say what to do when the device of a run has too little memory."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.device import elsewhere, memory_for


def memory_for_step(
    batch: MixBatch, batch_size: int, parts: int, device: torch.device
) -> AbstractContextManager[None]:
    """Turn running out of memory in a training step into an error that names a smaller one.

    Args:
        parts: That the step's rows are computed in.
    """
    what, advice = f"a step of {_shape(batch)} tokens", _advice(batch_size // 2, device)
    if batch_size > parts:
        advice += f"; or go on with --gradient-accumulation {2 * parts} --resume"
    return memory_for(what, device, advice)


def memory_for_student(device: torch.device) -> AbstractContextManager[None]:
    """Do the same where no batch is the cause: where a student and its optimizer are moved."""
    return memory_for("the student and its optimizer", device, elsewhere(device))


def memory_for_validation(
    batch: MixBatch, at_once: int, device: torch.device
) -> AbstractContextManager[None]:
    """Do the same in validation, whose `at_once` rows are at most twice the batch size."""
    what = f"{_shape(batch)} tokens of validation"
    return memory_for(what, device, _advice(at_once // 4, device))


def _shape(batch: MixBatch) -> str:
    rows, width = batch.left_ids.shape
    return f"{rows} x {width}"


def _advice(batch_size: int, device: torch.device) -> str:
    if batch_size < 1:
        return elsewhere(device)
    return f"use --batch-size {batch_size} with a new --out, or a smaller student"
