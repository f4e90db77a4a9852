"""Fidelity and calibration against plain versions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mixkd.shared.metrics import CLASSIFICATION, MULTI_LABEL
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
    assert divergence(teacher, student, CLASSIFICATION) == pytest.approx(expected, rel=1e-6)
    assert divergence(teacher, teacher, CLASSIFICATION) == 0
    far = np.array([[2000, 0]], np.float32)
    assert math.isfinite(divergence(far, -far, CLASSIFICATION)), "metrics.json has no infinity"


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
    assert calibration_error(logits, labels, CLASSIFICATION) == pytest.approx(expected, rel=1e-6)


def test_certain_and_right_is_calibrated() -> None:
    logits = np.array([[100, 0], [0, 100]], np.float32)
    assert calibration_error(logits, np.array([0, 1]), CLASSIFICATION) == 0
    assert calibration_error(logits, np.array([1, 0]), CLASSIFICATION) == 1


def test_regression_compares_numbers() -> None:
    student = np.array([[1.0], [2.0], [4.0]], np.float32)
    teacher = np.array([[1.0], [2.0], [3.0]], np.float32)
    found = evaluation(student, teacher, np.array([1, 2, 3], np.float32), "regression")
    assert found["teacher_mse"] == pytest.approx(1 / 3)
    assert set(found) == {"pearson", "spearman", "mse", "teacher_mse", "teacher_pearson"}


def test_multi_label_compares_each_label() -> None:
    teacher = np.array([[2.0, -1.0, -3.0], [-1.0, -2.0, 0.5]], np.float32)
    student = np.array([[1.0, -2.0, -1.0], [1.0, -1.0, 2.0]], np.float32)
    labels = np.array([[1, 0, 0], [0, 0, 1]], np.int8)
    found = evaluation(student, teacher, labels, MULTI_LABEL)
    assert found["teacher_agreement"] == 0.5, "of the second row one label of three is different"

    def sigmoid(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    pairs = list(zip(teacher.ravel().tolist(), student.ravel().tolist(), strict=True))
    expected = sum(
        p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        for p, q in ((sigmoid(t), sigmoid(s)) for t, s in pairs)
    )
    assert found["teacher_kl"] == pytest.approx(expected / 6, rel=1e-6)
    bins: dict[int, list[tuple[float, int]]] = {}
    for logit, label in zip(student.ravel().tolist(), labels.ravel().tolist(), strict=True):
        bins.setdefault(int(sigmoid(logit) * 15), []).append((sigmoid(logit), label))
    gaps = (abs(sum(p - label for p, label in each)) for each in bins.values())
    assert found["calibration_error"] == pytest.approx(sum(gaps) / 6, rel=1e-6)
    assert set(found) - {"teacher_agreement", "teacher_kl", "calibration_error"} == {
        *("micro_f1", "macro_f1", "mean_average_precision")
    }
    far = np.array([[2000.0, -2000.0]], np.float32)
    assert math.isfinite(
        evaluation(far, -far, np.array([[1, 0]], np.int8), MULTI_LABEL)["teacher_kl"]
    )
