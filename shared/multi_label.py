"""Multi-label answers: each label by itself, from a sigmoid, with one threshold for all.

A row has any number of labels: a row of 0 and 1, int8 [C]. A label is predicted where its
probability is above 0.5, which is where its logit is above 0. Whatever compares rows with each
other is a mean over labels, so that its size does not depend on C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]
NUMBERS_AT_ONCE = 2**20  # of logits, when they are sorted


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Rows per label, int64 [C] each: rightly predicted, predicted, and having it (`support`)."""

    right: Counts
    predicted: Counts
    support: Counts

    @classmethod
    def of(cls, predicted: npt.NDArray[np.bool_], labels: npt.NDArray[Any]) -> LabelCounts:
        """Count over rows of predictions and of labels, [n, C] each."""
        right = np.logical_and(predicted, labels)  # [n, C]
        return cls(*(_rows_of(each) for each in (right, predicted, labels)))

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """F1 of each label [C], 0 where it has neither rows nor predictions."""
        return np.asarray(2 * self.right / np.maximum(self.predicted + self.support, 1))

    @property
    def micro_f1(self) -> float:
        """F1 of all decisions together."""
        return float(2 * self.right.sum() / max(1, int((self.predicted + self.support).sum())))


def label_metrics(logits: Float, labels: npt.NDArray[Any]) -> dict[str, float]:
    """Compute micro_f1, macro_f1 and mean_average_precision of logits [n, C].

    Args:
        labels: 0 and 1 [n, C].
    """
    counts = LabelCounts.of(logits > 0, labels)
    return {
        "micro_f1": counts.micro_f1,
        "macro_f1": float(counts.f1.mean()),
        "mean_average_precision": _mean_average_precision(logits, labels, counts.support),
    }


def best_constant(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Find the answer that is best by micro F1 if it is given to every row: bool [C].

    It consists of the most frequent labels: of two answers of the same number of labels, the one of
    more frequent labels is right more often.

    Args:
        labels: 0 and 1 [n, C].
    """
    support = _rows_of(labels)  # [C]
    order = np.argsort(-support, kind="stable")  # [C]
    predicted = len(labels) * np.arange(1, len(support) + 1)  # [C], of the first 1, 2, … labels
    f1 = 2 * np.cumsum(support[order]) / np.maximum(predicted + support.sum(), 1)  # [C]
    return np.isin(np.arange(len(support)), order[: int(f1.argmax()) + 1])


def label_probabilities(logits: Float) -> npt.NDArray[np.float64]:
    """Return the sigmoid of logits, float64 [n, C]."""
    from scipy.special import expit

    found: npt.NDArray[np.float64] = expit(logits.astype(np.float64))  # [n, C]
    return found


def label_divergence(
    left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Compute KL(left || right) of each label's two outcomes, in nats, mean over labels: [n]."""
    from scipy.special import rel_entr

    # A probability that a sigmoid rounded to 0 or 1 would make the divergence infinite.
    floor = np.finfo(np.float64).tiny
    of_label = rel_entr(left, np.maximum(right, floor))  # [n, C]
    of_none = rel_entr(1 - left, np.maximum(1 - right, floor))  # [n, C]
    return np.asarray((of_label + of_none).mean(axis=1))  # [n]


def _rows_of(table: npt.NDArray[Any]) -> Counts:
    """Count the rows of each label in 0 and 1 [n, C]: int64 [C]."""
    return np.asarray(table.sum(axis=0, dtype=np.int64))


def _mean_average_precision(logits: Float, labels: npt.NDArray[Any], support: Counts) -> float:
    """Average over the labels that occur: of one without rows there is no precision.

    Many labels at a time: scikit-learn takes a millisecond for each, and a cache may have 65,536.
    """
    occur = np.flatnonzero(support)
    at_once = max(1, NUMBERS_AT_ONCE // max(1, len(labels)))
    parts = [occur[start : start + at_once] for start in range(0, len(occur), at_once)]
    found = [average_precision(logits[:, part], labels[:, part]) for part in parts]
    return float(np.concatenate(found).mean()) if found else 0.0


def average_precision(logits: Float, labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Compute each label's average precision from logits and 0 and 1 [n, C]: float64 [C].

    The mean, over the rows that have the label, of the precision among the rows whose logits are
    no smaller than this row's. Every label must occur.
    """
    order = np.argsort(-logits, axis=0, kind="stable")  # [n, C]
    ordered, has = (np.take_along_axis(each, order, axis=0) for each in (logits, labels))
    rank = np.broadcast_to(np.arange(len(order))[:, None], order.shape)  # [n, C]
    ends = np.ones(order.shape, bool)  # of rows of equal logits, the last one
    ends[:-1] = ordered[:-1] != ordered[1:]
    last = np.where(ends, rank, len(order))[::-1]
    last = np.minimum.accumulate(last, axis=0)[::-1]  # [n, C]
    right = np.take_along_axis(np.cumsum(has, axis=0, dtype=np.int64), last, axis=0)  # [n, C]
    return np.asarray((has * right / (last + 1)).sum(axis=0) / has.sum(axis=0, dtype=np.int64))
