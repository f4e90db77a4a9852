"""Choose the number format of the teacher's pass: the device's own where it changes nothing.

Weights stay float32; a lower format means autocast of the matrix products.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from mixkd.shared.arrays import Logits
from mixkd.shared.errors import LogitsError, UsageError
from mixkd.shared.metrics import MULTI_LABEL
from mixkd.shared.models.device import native_format
from mixkd.shared.options import DTYPES, Dtype

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# Beyond this difference from float32, in logits, `auto` does not use a lower format. Where the two
# largest float32 logits are no further apart, they are a tie, and a flip is not counted; neither is
# that of a label whose float32 logit is no further from 0.
TOLERATED_DIFFERENCE = 0.1


def choose_dtype(
    requested: str,
    device: torch.device,
    score: Callable[[Dtype], Logits],
    problem_type: str | None = None,
) -> tuple[Dtype, float]:
    """Choose the format to use, and measure how far it is from float32 on a batch.

    `auto` is the lower format that the device multiplies natively, unless it moves a logit by more
    than 0.1 or flips a prediction whose float32 margin is larger; else float32. Any other format
    is taken as asked for.

    Args:
        score: A format -> the batch's logits in it, float32 [B, C].
        problem_type: As the teacher's config has it; older ones have none.

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
    low = native_format(device) if automatic else cast(Dtype, requested)
    if low == "float32":
        return "float32", 0.0
    lower, full = score(low), score("float32")  # [B, C] each
    finite = bool(np.isfinite(lower).all())
    difference = float(np.abs(lower - full).max()) if finite else float("inf")
    flips, answers = _flips(lower, full, problem_type)
    effect = f"{low} moves logits by up to {difference:.2g}, flips {flips} of {answers} answers"
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


def _flips(lower: Logits, full: Logits, problem_type: str | None) -> tuple[int, int]:
    """Count the predictions that differ, of logits [B, C], where `full` is not a tie; of how many.

    For multi-label each logit is a prediction by its sign.
    """
    if problem_type == MULTI_LABEL:
        decided = np.abs(full) > TOLERATED_DIFFERENCE  # [B, C]
        return int((decided & ((lower > 0) != (full > 0))).sum()), full.size
    if full.shape[1] < 2:
        return 0, len(full)
    ordered = np.sort(full, axis=1)  # [B, C]
    decided = ordered[:, -1] - ordered[:, -2] > TOLERATED_DIFFERENCE  # [B]
    return int((decided & (lower.argmax(axis=1) != full.argmax(axis=1))).sum()), len(full)
