"""The gate: a teacher that is no better than guessing is not worth caching."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.cache.header import Identity
from mixkd.shared.errors import WeakTeacherError
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import REGRESSION, metrics

log = logging.getLogger(__name__)
Logits = npt.NDArray[np.float32]
CLASSES_TO_PERMUTE = 6


@dataclass(frozen=True, slots=True)
class Gate:
    """Refuses a teacher by its validation logits.

    Attributes:
        teacher: Its name, for messages.
        metric: The task's headline metric, compared with `minimum`.
        minimum: A score; 0 lets every teacher pass; None asks for better than the majority class
            (regression: a Pearson correlation above 0).
    """

    teacher: str
    identity: Identity
    examples: dict[str, Examples]
    metric: str
    minimum: float | None

    def __call__(self, logits: Mapping[str, Logits]) -> None:
        """Raise unless the first validation split's score is good enough.

        Raises:
            WeakTeacherError: With the score, and with a permutation of labels that would fit.
        """
        split = self.identity.splits[1].name
        labels = self.examples[split].labels
        scores = metrics(logits[split], labels, self.identity.problem_type)
        log.info("teacher on %s: %s %.4f", split, self.metric, scores[self.metric])
        if self.minimum == 0:
            return
        if self.minimum is not None:
            good, expected = scores[self.metric] >= self.minimum, f"{self.minimum:g} or more"
            found = f"{self.metric} {scores[self.metric]:.4f}"
        elif self.identity.problem_type == REGRESSION:
            good, expected = scores["pearson"] > 0, "a Pearson correlation above 0"
            found = f"{scores['pearson']:.4f}"
        else:
            majority = np.bincount(labels).max() / len(labels)
            good = scores["accuracy"] > majority
            expected = f"accuracy above {majority:.4f}, that of the majority class"
            found = f"{scores['accuracy']:.4f}"
        if not good:
            raise WeakTeacherError(
                f"{self.teacher} on {split}",
                expected=expected,
                found=found,
                do=self._proposal(logits[split], labels),
            )

    def _proposal(self, logits: Logits, labels: npt.NDArray[Any]) -> str:
        columns = self._better_columns(logits, labels)
        if columns:
            named = ",".join(map(str, columns))
            return f"the teacher's labels seem to be permuted: try --teacher-labels {named}"
        return (
            "use a teacher that was fine-tuned on this task (cache-teacher finetune makes one), "
            "or pass --min-teacher-score 0"
        )

    def _better_columns(self, logits: Logits, labels: npt.NDArray[Any]) -> tuple[int, ...] | None:
        """The order of the teacher's labels that fits the data best, if it beats the majority."""
        classes = self.identity.classes
        if self.identity.problem_type == REGRESSION or classes > CLASSES_TO_PERMUTE:
            return None
        predicted = logits.argmax(axis=1)
        counts = np.zeros((classes, classes))  # [predicted, label]
        np.add.at(counts, (predicted, labels), 1)
        orders = itertools.permutations(range(classes))
        best = max(orders, key=lambda order: sum(counts[order[c], c] for c in range(classes)))
        right = sum(counts[best[c], c] for c in range(classes))
        if best == tuple(range(classes)) or right <= np.bincount(labels).max():
            return None
        return tuple(self.identity.teacher.columns[column] for column in best)
