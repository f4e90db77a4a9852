"""How good a student is, and how like its teacher: metrics, agreement, divergence, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.examples import Examples
from mixkd.shared.metrics import REGRESSION, metrics
from mixkd.shared.mixup import MixBatch

Logits = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]
BATCH_ROWS = 64
CALIBRATION_BINS = 15
FALLBACK_HEADLINES = ("accuracy", "pearson")


def headline(metric: str, scores: Mapping[str, float]) -> str:
    """The name of the metric that the cache's task is judged by."""
    return next(name for name in (metric, *FALLBACK_HEADLINES) if name in scores)


def predictions(
    score: Callable[[MixBatch], Logits],
    examples: Examples,
    pad_id: int,
    classes: int,
    rank: int = 0,
    world: int = 1,
) -> Logits:
    """Logits float32 [n, C] of a split, in batches of like length; 0 in rows of other processes."""
    by_length = np.argsort(examples.lengths, kind="stable")
    logits = np.zeros((len(examples), classes), np.float32)
    for start in range(rank * BATCH_ROWS, len(by_length), world * BATCH_ROWS):
        rows = by_length[start : start + BATCH_ROWS]
        logits[rows] = score(examples.originals(rows, pad_id))
    return logits


def evaluation(
    student: Logits, teacher: Logits, labels: npt.NDArray[Any], problem_type: str
) -> dict[str, float]:
    """Metrics against labels and, beside them, fidelity to the teacher.

    Args:
        student, teacher: Logits [n, C].

    Returns:
        The metrics of `shared.metrics`. Classification adds `teacher_agreement` (share of equal
        predictions), `teacher_kl` (mean KL(teacher || student) at temperature 1, in nats) and
        `calibration_error`; regression adds `teacher_mse` and `teacher_pearson`.
    """
    found = metrics(student, labels, problem_type)
    if problem_type == REGRESSION:
        against = metrics(student, teacher[:, 0], problem_type)
        return {**found, "teacher_mse": against["mse"], "teacher_pearson": against["pearson"]}
    return {
        **found,
        "teacher_agreement": float(np.mean(student.argmax(axis=1) == teacher.argmax(axis=1))),
        "teacher_kl": divergence(teacher, student),
        "calibration_error": calibration_error(student, labels),
    }


def divergence(teacher: Logits, student: Logits) -> float:
    """Mean KL(teacher || student) over rows, in nats."""
    log_teacher, log_student = log_softmax(teacher), log_softmax(student)
    return float((np.exp(log_teacher) * (log_teacher - log_student)).sum(axis=1).mean())


def calibration_error(logits: Logits, labels: npt.NDArray[Any]) -> float:
    """Expected calibration error over 15 bins of equal width (Guo et al., ICML 2017).

    The mean, over predictions, of |accuracy - confidence| of the bin that a prediction's
    confidence falls into.
    """
    probabilities = np.exp(log_softmax(logits))
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def log_softmax(logits: Logits) -> Double:
    """Log probabilities, float64 [n, C]."""
    shifted: Double = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_sum: Double = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted - log_sum
