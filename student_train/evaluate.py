"""How good a student is, and how similar to its teacher: metrics, agreement, KL, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Logits
from mixkd.shared.metrics import (
    HEADLINES,
    MULTI_LABEL,
    REGRESSION,
    kl_divergence,
    metrics,
    probabilities,
)
from mixkd.student_train.results import Metrics

CALIBRATION_BINS = 15


def headline(metric: str, computed: Mapping[str, float]) -> str:
    """Return the name of the metric that the cache's task is judged by."""
    return next(name for name in (metric, *HEADLINES.values()) if name in computed)


def evaluation(
    student: Logits, teacher: Logits, labels: npt.NDArray[Any], problem_type: str
) -> Metrics:
    """Compute metrics against labels and, beside them, fidelity to the teacher.

    Args:
        student, teacher: Logits [n, C].

    Returns:
        The metrics of `shared.metrics`. Classification adds `teacher_agreement` (share of equal
        predictions, which for multi-label means of all labels of a row), `teacher_kl` (mean
        KL(teacher || student) at temperature 1, in nats; for multi-label the mean over labels too)
        and `calibration_error`; regression adds `teacher_mse` and `teacher_pearson`.
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
        "teacher_agreement": agreement(student, teacher, problem_type),
        "teacher_kl": divergence(teacher, student, problem_type),
        "calibration_error": calibration_error(student, labels, problem_type),
    }


def teacher_metrics(teacher: Logits, labels: npt.NDArray[Any], problem_type: str) -> Metrics:
    """Compute the metrics of `evaluation` that the teacher has too."""
    against_labels = metrics(teacher, labels, problem_type)
    if problem_type == REGRESSION:
        return against_labels
    return {**against_labels, "calibration_error": calibration_error(teacher, labels, problem_type)}


def agreement(student: Logits, teacher: Logits, problem_type: str) -> float:
    """Compute the share of rows with the same prediction: for multi-label, of every label."""
    if problem_type == MULTI_LABEL:
        return float(((student > 0) == (teacher > 0)).all(axis=1).mean())
    return float(np.mean(student.argmax(axis=1) == teacher.argmax(axis=1)))


def divergence(teacher: Logits, student: Logits, problem_type: str) -> float:
    """Compute the mean KL(teacher || student) over rows, in nats."""
    of_teacher, of_student = (probabilities(each, problem_type) for each in (teacher, student))
    return float(kl_divergence(of_teacher, of_student, problem_type).mean())


def calibration_error(logits: Logits, labels: npt.NDArray[Any], problem_type: str) -> float:
    """Compute the expected calibration error over 15 bins of equal width (Guo et al., ICML 2017).

    The mean, over predictions, of |accuracy - confidence| of the bin that a prediction's
    confidence falls into. For multi-label it is over the probabilities of all labels: how often a
    label is there, against its probability.
    """
    predicted = probabilities(logits, problem_type)  # [n, C]
    if problem_type == MULTI_LABEL:
        confidence, correct = predicted.ravel(), np.ravel(labels).astype(bool)  # [n * C]
    else:
        confidence = predicted.max(axis=1)  # [n]
        correct = predicted.argmax(axis=1) == labels  # [n]
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)  # [n]
    gaps = np.bincount(bins, weights=correct - confidence, minlength=CALIBRATION_BINS)  # [bins]
    return float(np.abs(gaps).sum() / len(confidence))
