"""What a student is judged by: one metric on the first validation split, and its best value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixkd.student_train.evaluate import headline
from mixkd.student_train.results import Validated, Validation

LOWER_IS_BETTER = ("mse",)


@dataclass(frozen=True, slots=True)
class Headline:
    """A metric on a split."""

    split: str
    metric: str

    @classmethod
    def of(cls, metric: str, metrics: Validation) -> Headline:
        """Choose the first split's `metric`, or what its kind of labels is judged by."""
        split = next(iter(metrics))
        return cls(split, headline(metric, metrics[split]))

    def score(self, metrics: Validation) -> float:
        """Return its value."""
        return metrics[self.split][self.metric]

    def gain(self, before: float, after: float) -> float:
        """Return by how much `after` is better than `before`, below 0 if it is worse."""
        return before - after if self.metric in LOWER_IS_BETTER else after - before

    def best(self, history: Sequence[Validated]) -> int:
        """Return the position of the best validation, the earliest of equal ones."""
        return max(
            range(len(history)),
            key=lambda position: self.gain(0.0, self.score(history[position].metrics)),
        )

    def validations_since_best(self, history: Sequence[Validated]) -> int:
        """Count the validations after the best one."""
        return len(history) - 1 - self.best(history) if history else 0
