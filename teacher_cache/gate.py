"""The gate: refuse a teacher that is not better than guessing before its logits are cached."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Logits
from mixkd.shared.cache.header import Identity
from mixkd.shared.errors import WeakTeacherError
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION, metrics
from mixkd.shared.multi_label import LabelCounts, best_constant

log = logging.getLogger(__name__)
CLASSES_TO_PERMUTE = 6


def against_guessing(
    measured: Mapping[str, float], labels: npt.NDArray[Any], problem_type: str
) -> tuple[bool, str, str]:
    """Compare metrics with those of the best constant answer: the majority class, for multi-label
    the most frequent labels, for regression any number.

    Returns:
        Whether they are better, what would be, and what was measured.
    """
    if problem_type == REGRESSION:
        pearson = measured["pearson"]
        return pearson > 0, "a Pearson correlation above 0", f"{pearson:.4f}"
    if problem_type == MULTI_LABEL:
        always = best_constant(labels)  # [C]
        constant = LabelCounts.of(np.broadcast_to(always, labels.shape), labels).micro_f1
        which = (
            f"{always.sum()} most frequent labels" if always.sum() > 1 else "most frequent label"
        )
        expected = f"micro F1 above {constant:.4f}, that of always answering the {which}"
        return measured["micro_f1"] > constant, expected, f"{measured['micro_f1']:.4f}"
    majority = np.bincount(labels).max() / len(labels)
    accuracy = measured["accuracy"]
    expected = f"accuracy above {majority:.4f}, that of the majority class"
    return accuracy > majority, expected, f"{accuracy:.4f}"


@dataclass(frozen=True, slots=True)
class Gate:
    """Compares the teacher's validation metrics with a minimum.

    Attributes:
        teacher: Its name, for messages.
        metric: The task's headline metric, compared with `minimum`.
        minimum: Of the metric; 0 accepts every teacher; None requires more than the best constant
            answer (see `against_guessing`).
    """

    teacher: str
    identity: Identity
    examples: dict[str, Examples]
    metric: str
    minimum: float | None

    def __call__(self, logits: Mapping[str, Logits]) -> None:
        """Check the metrics on the first validation split.

        Raises:
            WeakTeacherError: With the metric, and with a permutation of labels that would fit.
        """
        split = self.identity.splits[1].name
        labels = self.examples[split].labels
        measured = metrics(logits[split], labels, self.identity.problem_type)
        log.info("teacher on %s: %s %.4f", split, self.metric, measured[self.metric])
        if self.minimum == 0:
            return
        if self.minimum is not None:
            good, expected = measured[self.metric] >= self.minimum, f"{self.minimum:g} or more"
            actual = f"{self.metric} {measured[self.metric]:.4f}"
        else:
            good, expected, actual = against_guessing(measured, labels, self.identity.problem_type)
        if not good:
            raise WeakTeacherError(
                f"{self.teacher} on {split}",
                expected=expected,
                found=actual,
                do=self._proposal(logits[split], labels),
            )

    def _proposal(self, logits: Logits, labels: npt.NDArray[Any]) -> str:
        given = self.identity.teacher.source == "logits"
        columns = self._better_columns(logits, labels)
        if columns:
            named = ",".join(map(str, columns))
            whose = "the numbers of a row" if given else "the teacher's labels"
            return f"{whose} seem to be permuted: try --teacher-labels {named}"
        if given:
            names = self.identity.label_names
            order = f", in the order {', '.join(names[:6])}{', …' * (len(names) > 6)}"
            return f"correct the numbers{order * bool(names)}, or pass --min-teacher-score 0"
        return (
            "use a teacher that was fine-tuned on this task (cache-teacher finetune trains one), "
            "or pass --min-teacher-score 0"
        )

    def _better_columns(self, logits: Logits, labels: npt.NDArray[Any]) -> tuple[int, ...] | None:
        """Find the order of the teacher's labels that fits best, if it beats guessing."""
        classes, problem_type = self.identity.classes, self.identity.problem_type
        if problem_type == REGRESSION or classes > CLASSES_TO_PERMUTE:
            return None
        each = np.arange(classes)
        if problem_type == MULTI_LABEL:
            predicted, actual = logits > 0, labels == 1  # [n, C]
        else:
            predicted, actual = logits.argmax(axis=1)[:, None] == each, labels[:, None] == each
        counts = predicted.T.astype(np.int64) @ actual  # [C, C], predicted and label
        orders = itertools.permutations(range(classes))
        best = max(orders, key=lambda order: sum(counts[order[c], c] for c in range(classes)))
        reordered = metrics(logits[:, list(best)], labels, problem_type)
        better, _, _ = against_guessing(reordered, labels, problem_type)
        if best == tuple(range(classes)) or not better:
            return None
        return tuple(self.identity.teacher.columns[column] for column in best)
