"""Choose the number format of the teacher's pass: native bfloat16 where it changes nothing.

Weights stay float32; a lower format means autocast of the matrix products.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mixkd.shared.arrays import Logits
from mixkd.shared.errors import LogitsError, UsageError
from mixkd.shared.models.device import natively_bfloat16
from mixkd.shared.options import DTYPES, Dtype

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# Beyond this difference from float32, in logits, `auto` does not use a lower format.
TOLERATED_DIFFERENCE = 0.1


def choose_dtype(
    requested: str, device: torch.device, score: Callable[[Dtype], Logits]
) -> tuple[Dtype, float]:
    """Choose the format to use, and measure how far it is from float32 on a batch.

    `auto` is bfloat16 where the device multiplies it natively, unless it changes a prediction or
    a logit by more than 0.1; else float32. Any other format is taken as asked for.

    Args:
        score: A format -> the batch's logits in it, float32 [B, C].

    Returns:
        The format, and the largest difference of a logit from float32: 0 for float32.

    Raises:
        UsageError: If the format is unknown.
        LogitsError: If the format that was asked for gives NaN or infinity.
    """
    if requested not in ("auto", *DTYPES):
        raise UsageError(
            "--dtype",
            expected=f"auto, {', '.join(DTYPES)}",
            found=requested,
            do="use --dtype auto",
        )
    automatic = requested == "auto"
    low: Dtype = "float16" if requested == "float16" else "bfloat16"
    if requested == "float32" or (automatic and not natively_bfloat16(device)):
        return "float32", 0.0
    lower, full = score(low), score("float32")  # [B, C] each
    finite = bool(np.isfinite(lower).all())
    difference = float(np.abs(lower - full).max()) if finite else float("inf")
    flips = int((lower.argmax(axis=1) != full.argmax(axis=1)).sum())
    effect = f"{low} moves logits by up to {difference:.2g}, flips {flips} of {len(full)} answers"
    if automatic and (flips or difference > TOLERATED_DIFFERENCE):
        log.warning("teacher: %s: float32 is used", effect)
        return "float32", 0.0
    if not finite:
        raise LogitsError(
            "--dtype",
            expected=f"finite logits in {low}",
            found="NaN or infinity",
            do="use --dtype auto or float32",
        )
    log.info("teacher: %s: %s is used", effect, low)
    return low, difference
