"""Metrics equal plain calls of scikit-learn and SciPy; undefined ones are 0, without a warning."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as plain

from mixkd.shared import multi_label
from mixkd.shared.metrics import CLASSIFICATION, MULTI_LABEL, REGRESSION, metric_names, metrics


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


@pytest.mark.parametrize("labels_per_row", [0.1, 0.5])
def test_multi_label(labels_per_row: float) -> None:
    choose = np.random.default_rng(7)
    labels = (choose.random((90, 6)) < labels_per_row).astype(np.int8)  # [n, C]
    logits = (2 * labels - 1 + choose.normal(size=(90, 6)) * 2).astype(np.float32).round(1)
    found = metrics(logits, labels, MULTI_LABEL)
    assert tuple(found) == metric_names(MULTI_LABEL, 6)
    predicted = logits > 0
    micro, macro = (plain.f1_score(labels, predicted, average=how) for how in ("micro", "macro"))
    assert found["micro_f1"] == pytest.approx(micro, abs=1e-12)
    assert found["macro_f1"] == pytest.approx(macro, abs=1e-12)
    precision = plain.average_precision_score(labels, logits, average="macro")
    assert found["mean_average_precision"] == pytest.approx(precision, abs=1e-12)


def test_many_labels_take_no_longer_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache may have 65,536: what is computed in parts is what scikit-learn computes."""
    choose = np.random.default_rng(3)
    labels = (choose.random((30, 65_536)) < 0.05).astype(np.int8)  # [n, C]
    logits = choose.normal(size=labels.shape).astype(np.float32).round(1)
    begin = time.process_time()
    found = metrics(logits, labels, MULTI_LABEL)
    assert time.process_time() - begin < 10
    some = np.flatnonzero(labels.sum(axis=0))[:300]
    monkeypatch.setattr(multi_label, "NUMBERS_AT_ONCE", 70)  # two labels at a time
    few = metrics(logits[:, some], labels[:, some], MULTI_LABEL)["mean_average_precision"]
    expected = plain.average_precision_score(labels[:, some], logits[:, some], average="macro")
    assert few == pytest.approx(expected, abs=1e-12)
    assert 0 < found["mean_average_precision"] < 1


def test_multi_label_by_hand() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], np.int8)
    logits = np.array([[1, 1, -1], [-1, 2, -1], [-2, -1, 0]], np.float32)
    found = metrics(logits, labels, MULTI_LABEL)
    # Right: label 0 of row 0, label 1 of row 1. Predicted: 3 (0 is not above 0). There are 3.
    assert found["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found["mean_average_precision"] == 1, "label 2 does not occur, and does not count"
    nothing = np.zeros((3, 3), np.int8)
    assert metrics(logits - 9, nothing, MULTI_LABEL) == dict.fromkeys(found, 0)
