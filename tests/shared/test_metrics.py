"""Metrics equal plain calls of scikit-learn and SciPy; undefined ones are 0, without a warning."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as plain

from mixkd.shared.metrics import CLASSIFICATION, REGRESSION, metrics


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_classification(classes: int) -> None:
    choose = np.random.default_rng(classes)
    logits = choose.normal(size=(80, classes)).astype(np.float32)
    labels = np.where(choose.random(80) < 0.5, logits.argmax(1), choose.integers(0, classes, 80))
    predicted = logits.argmax(axis=1)
    found = metrics(logits, labels, CLASSIFICATION)
    assert found.pop("accuracy") == plain.accuracy_score(labels, predicted)
    assert found.pop("macro_f1") == plain.f1_score(labels, predicted, average="macro")
    assert found.pop("matthews_correlation") == plain.matthews_corrcoef(labels, predicted)
    if classes == 2:
        assert found.pop("f1") == plain.f1_score(labels, predicted)
    assert found == {}


def test_regression() -> None:
    choose = np.random.default_rng(0)
    labels = choose.normal(size=60).astype(np.float32)
    logits = (labels[:, None] + choose.normal(size=(60, 1))).astype(np.float32).round(1)
    found = metrics(logits, labels, REGRESSION)
    assert set(found) == {"pearson", "spearman", "mse"}
    exact = logits[:, 0].astype(np.float64), labels.astype(np.float64)
    assert found["pearson"] == pytest.approx(stats.pearsonr(*exact).statistic, abs=1e-12)
    assert found["spearman"] == pytest.approx(stats.spearmanr(*exact).statistic, abs=1e-12)
    assert found["mse"] == pytest.approx(plain.mean_squared_error(*exact), abs=1e-12)


def test_undefined_correlations_are_0() -> None:
    found = metrics(np.ones((5, 1), np.float32), np.arange(5, dtype=np.float32), REGRESSION)
    assert (found["pearson"], found["spearman"], found["mse"]) == (0, 0, 3)
    assert metrics(np.ones((1, 1), "f4"), np.ones(1, "f4"), REGRESSION)["pearson"] == 0


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("predicted", [0, 1])
@pytest.mark.parametrize("rows", [1, 5])
def test_one_class_only(label: int, predicted: int, rows: int) -> None:
    logits = np.zeros((rows, 2), np.float32)
    logits[:, predicted] = 1
    found = metrics(logits, np.full(rows, label), CLASSIFICATION)
    right = float(label == predicted)
    assert (found["accuracy"], found["matthews_correlation"]) == (right, 0)
    assert found["f1"] == right * label


def test_a_class_that_neither_side_has_counts_as_0() -> None:
    found = metrics(np.eye(3, dtype=np.float32)[[0, 1]], np.array([0, 1]), CLASSIFICATION)
    assert found["macro_f1"] == pytest.approx(2 / 3)


def test_values_are_plain_floats() -> None:
    found = metrics(np.eye(2, dtype=np.float16), np.array([0, 1]), CLASSIFICATION)
    assert {type(value) for value in found.values()} == {float}
