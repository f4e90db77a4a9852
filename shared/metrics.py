"""Metrics of logits: GLUE's, against labels, and divergences; the same for both tools."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mixkd.shared.multi_label import label_divergence, label_metrics, label_probabilities
from mixkd.shared.problem_types import CLASSIFICATION as CLASSIFICATION
from mixkd.shared.problem_types import HEADLINES as HEADLINES
from mixkd.shared.problem_types import MULTI_LABEL as MULTI_LABEL
from mixkd.shared.problem_types import PROBLEM_TYPES as PROBLEM_TYPES
from mixkd.shared.problem_types import REGRESSION as REGRESSION

Float = npt.NDArray[np.floating]


def metric_names(problem_type: str, classes: int) -> tuple[str, ...]:
    """Return the names of what `metrics` computes."""
    if problem_type == REGRESSION:
        return ("pearson", "spearman", "mse")
    if problem_type == MULTI_LABEL:
        return ("micro_f1", "macro_f1", "mean_average_precision")
    return ("accuracy", "macro_f1", "matthews_correlation", *(["f1"] if classes == 2 else []))


def metrics(logits: Float, labels: npt.NDArray[np.generic], problem_type: str) -> dict[str, float]:
    """Compute the metrics of logits [n, C]; an undefined one, such as the correlation of a
    constant, counts as 0.

    Args:
        labels: Class numbers [n]; 0 and 1 [n, C] for multi-label; numbers [n] for regression.

    Returns:
        Classification: accuracy, macro_f1, matthews_correlation and, for two classes, f1 (of
        class 1). Multi-label: micro_f1, macro_f1, mean_average_precision. Regression: pearson,
        spearman, mse.
    """
    if problem_type == MULTI_LABEL:
        return label_metrics(logits, labels)
    if problem_type == REGRESSION:
        return _regression(logits[:, 0].astype(np.float64), labels.astype(np.float64))
    return _classification(logits.argmax(axis=1), labels, logits.shape[1])


def probabilities(logits: Float, problem_type: str) -> npt.NDArray[np.float64]:
    """Return the softmax of logits, or each label's sigmoid, float64 [n, C]."""
    from scipy.special import softmax

    if problem_type == MULTI_LABEL:
        return label_probabilities(logits)
    found: npt.NDArray[np.float64] = softmax(logits.astype(np.float64), axis=1)  # [n, C]
    return found


def kl_divergence(
    left: npt.NDArray[np.float64], right: npt.NDArray[np.float64], problem_type: str
) -> npt.NDArray[np.float64]:
    """Compute KL(left || right) of probabilities [n, C], in nats per row: float64 [n].

    For multi-label it is the mean over labels.
    """
    from scipy.special import rel_entr

    if problem_type == MULTI_LABEL:
        return label_divergence(left, right)
    # A probability that a softmax rounded to 0 would make the divergence infinite.
    floor = np.finfo(np.float64).tiny
    found: npt.NDArray[np.float64] = rel_entr(left, np.maximum(right, floor)).sum(axis=1)  # [n]
    return found


def _classification(
    predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.generic], classes: int
) -> dict[str, float]:
    from sklearn.metrics import f1_score, matthews_corrcoef

    scores = {
        "accuracy": float(np.mean(predicted == labels)),
        "macro_f1": float(
            f1_score(
                labels,
                predicted,
                average="macro",
                labels=range(classes),
                zero_division=0,
            )
        ),
        # scikit-learn warns about a single class, for which the correlation is not defined.
        "matthews_correlation": float(matthews_corrcoef(labels, predicted))
        if len(np.union1d(labels, predicted)) > 1
        else 0.0,
    }
    if classes == 2:
        scores["f1"] = float(f1_score(labels, predicted, zero_division=0))
    return scores


def _regression(predicted: Float, labels: Float) -> dict[str, float]:
    from scipy.stats import rankdata

    return {
        "pearson": _correlation(predicted, labels),
        "spearman": _correlation(rankdata(predicted), rankdata(labels)),
        "mse": float(np.mean((predicted - labels) ** 2)),
    }


def _correlation(left: Float, right: Float) -> float:
    left, right = left - left.mean(), right - right.mean()
    norm = math.sqrt(float(left @ left) * float(right @ right))
    return float(left @ right) / norm if norm else 0.0
