"""How good a student is, and how similar to its teacher: metrics, agreement, KL, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Logits
from mixkd.shared.metrics import REGRESSION, kl_divergence, metrics, probabilities
from mixkd.student_train.results import Metrics

CALIBRATION_BINS = 15
FALLBACK_HEADLINES = ("accuracy", "pearson")


def headline(metric: str, computed: Mapping[str, float]) -> str:
    """Return the name of the metric that the cache's task is judged by."""
    return next(name for name in (metric, *FALLBACK_HEADLINES) if name in computed)


def evaluation(
    student: Logits, teacher: Logits, labels: npt.NDArray[Any], problem_type: str
) -> Metrics:
    """Compute metrics against labels and, beside them, fidelity to the teacher.

    Args:
        student, teacher: Logits [n, C].

    Returns:
        The metrics of `shared.metrics`. Classification adds `teacher_agreement` (share of equal
        predictions), `teacher_kl` (mean KL(teacher || student) at temperature 1, in nats) and
        `calibration_error`; regression adds `teacher_mse` and `teacher_pearson`.
    """
    against_labels = metrics(student, labels, problem_type)
    if problem_type == REGRESSION:
        against_teacher = metrics(student, teacher[:, 0], problem_type)
        return {
            **against_labels,
            "teacher_mse": against_teacher["mse"],
            "teacher_pearson": against_teacher["pearson"],
        }
    return {
        **against_labels,
        "teacher_agreement": float(np.mean(student.argmax(axis=1) == teacher.argmax(axis=1))),
        "teacher_kl": divergence(teacher, student),
        "calibration_error": calibration_error(student, labels),
    }


def teacher_metrics(teacher: Logits, labels: npt.NDArray[Any], problem_type: str) -> Metrics:
    """Compute the metrics of `evaluation` that the teacher has too."""
    against_labels = metrics(teacher, labels, problem_type)
    if problem_type == REGRESSION:
        return against_labels
    return {**against_labels, "calibration_error": calibration_error(teacher, labels)}


def divergence(teacher: Logits, student: Logits) -> float:
    """Compute the mean KL(teacher || student) over rows, in nats."""
    return float(kl_divergence(probabilities(teacher), probabilities(student)).mean())


def calibration_error(logits: Logits, labels: npt.NDArray[Any]) -> float:
    """Compute the expected calibration error over 15 bins of equal width (Guo et al., ICML 2017).

    The mean, over predictions, of |accuracy - confidence| of the bin that a prediction's
    confidence falls into.
    """
    predicted = probabilities(logits)  # [n, C]
    confidence = predicted.max(axis=1)  # [n]
    correct = predicted.argmax(axis=1) == labels  # [n]
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)  # [n]
    gaps = np.bincount(bins, weights=correct - confidence, minlength=CALIBRATION_BINS)  # [bins]
    return float(np.abs(gaps).sum() / len(labels))
