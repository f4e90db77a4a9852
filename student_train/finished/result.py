"""What an evaluation finds, as typed values: metrics, classes, confusion, teacher and speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from mixkd.shared.arrays import Logits
from mixkd.shared.examples import Array
from mixkd.shared.models.speed import Speed
from mixkd.shared.multi_label import LabelCounts
from mixkd.student_train.finished.predict import Prediction, predictions_of
from mixkd.student_train.results import Metrics


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How well one class is found; 0 where a share is of nothing.

    Attributes:
        support: Examples that have this label.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class AgainstTeacher:
    """How similar the predictions are to a cached teacher's, on the rows that the cache holds.

    Attributes:
        cache: Its name.
        examples: Rows of the data whose texts are in the cache.
        metrics: teacher_agreement and teacher_kl (nats), or for regression teacher_pearson and
            teacher_mse; empty without such rows.
        teacher: The teacher's own metrics on these rows.
    """

    cache: str
    examples: int
    metrics: Metrics
    teacher: Metrics


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` returns.

    Attributes:
        model, data: As they were named.
        metrics: Against the labels: those of `mixkd.shared.metrics`, and for classification
            calibration_error.
        classes: In the order of the logits; empty for regression.
        confusion: [label][prediction], counts; empty for regression and multi-label.
        texts: One list per text column.
        labels: int64 [n] class numbers, int8 [n, C] of 0 and 1 for multi-label, or float32 [n].
        logits: float32 [n, C].
    """

    model: str
    data: str
    examples: int
    problem_type: str
    label_names: tuple[str, ...]
    max_length: int
    device: str
    metrics: Metrics
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    against_teacher: AgainstTeacher | None
    speed: Speed
    texts: Sequence[Sequence[str]] = field(repr=False)
    labels: Array = field(repr=False)
    logits: Logits = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return all but the rows themselves as plain JSON values."""
        rows = ("texts", "labels", "logits")
        values = {name: getattr(self, name) for name in self.__slots__ if name not in rows}
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(values))
        return plain

    def predictions(self) -> Iterator[Prediction]:
        """Give each row's texts and label with what the model answers, in the order of the data."""
        columns = ("text",) if len(self.texts) == 1 else ("text_a", "text_b")
        rows = (
            {**dict(zip(columns, texts, strict=True)), "label": self._named(label)}
            for *texts, label in zip(*self.texts, self.labels.tolist(), strict=True)
        )
        return predictions_of(rows, self.logits, self.label_names, self.problem_type)

    def _named(self, label: Any) -> Any:
        """Return a row's label by name, several as a list; a number as it is."""
        names = self.label_names
        if isinstance(label, list):
            return [name for name, has in zip(names, label, strict=True) if has]
        return names[label] if names else label


def confusion_matrix(labels: Array, predicted: Array, classes: int) -> Array:
    """Count (label, prediction), int64 [C, C]."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)  # [C * C]
    return counts.reshape(classes, classes)


def counts_of(confusion: Array) -> LabelCounts:
    """Count each class by itself, from a confusion matrix [C, C]."""
    return LabelCounts(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1))


def class_scores(counts: LabelCounts, names: Sequence[str]) -> tuple[ClassScores, ...]:
    """Compute precision, recall and F1 of each class or label."""
    precision = counts.right / np.maximum(counts.predicted, 1)  # [C]
    recall = counts.right / np.maximum(counts.support, 1)  # [C]
    columns = (precision.tolist(), recall.tolist(), counts.f1.tolist(), counts.support.tolist())
    return tuple(ClassScores(*row) for row in zip(names, *columns, strict=True))
