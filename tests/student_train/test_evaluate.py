"""Fidelity and calibration against plain versions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mixkd.student_train.evaluate import calibration_error, divergence, evaluation


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def test_divergence_is_the_mean_kl_from_the_teacher() -> None:
    teacher, student = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    expected = np.mean(
        [
            sum(p * math.log(p / q) for p, q in zip(softmax(t), softmax(s), strict=True))
            for t, s in zip(teacher.tolist(), student.tolist(), strict=True)
        ]
    )
    assert divergence(teacher, student) == pytest.approx(expected, rel=1e-6)
    assert divergence(teacher, teacher) == 0
    far = np.array([[2000, 0]], np.float32)
    assert math.isfinite(divergence(far, -far)), "metrics.json has no infinity"


def test_calibration_error_over_fifteen_bins() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(200, 4)).astype(np.float32) * 2
    labels = generator.integers(0, 4, 200)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        probabilities = softmax(row)
        confidence = max(probabilities)
        bins.setdefault(int(confidence * 15), []).append(
            (confidence, probabilities.index(confidence) == label)
        )
    expected = sum(
        abs(np.mean([hit for _, hit in found]) - np.mean([c for c, _ in found])) * len(found) / 200
        for found in bins.values()
    )
    assert calibration_error(logits, labels) == pytest.approx(expected, rel=1e-6)


def test_certain_and_right_is_calibrated() -> None:
    logits = np.array([[100, 0], [0, 100]], np.float32)
    assert calibration_error(logits, np.array([0, 1])) == 0
    assert calibration_error(logits, np.array([1, 0])) == 1


def test_regression_compares_numbers() -> None:
    student = np.array([[1.0], [2.0], [4.0]], np.float32)
    teacher = np.array([[1.0], [2.0], [3.0]], np.float32)
    found = evaluation(student, teacher, np.array([1, 2, 3], np.float32), "regression")
    assert found["teacher_mse"] == pytest.approx(1 / 3)
    assert set(found) == {"pearson", "spearman", "mse", "teacher_mse", "teacher_pearson"}
