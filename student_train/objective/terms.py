"""The objective: the weighted sum of a few terms, each a row of one table.

Following the MixKD objective (Liang et al., ICLR 2021, arXiv 2011.00593): cross entropy on the
originals (mle), cross entropy on mixes with mixed labels (sm), a distance to the teacher's logits
on the same mixes (tmkd), and the same distance on the originals (kd; Hinton et al., arXiv
1503.02531). A new term is a function and a row:

    register_term(Term("margin", "mixes", margin, "a margin on mixes", needs_labels=True))

It then has its `--alpha-margin`, its help, and its key in `TrainOptions.weights`.

A term returns one value per row. The objective sums them and divides by the number of rows in the
global batch, so that several processes together compute what one computes alone. A term that needs
labels is given the labelled rows only, and its mean is over those of the global batch: a mix is
labelled if both of its sides are. A batch without any gives 0.
Shapes: B rows, C classes (1 for regression). All tensors are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from mixkd.shared.problem_types import CLASSIFICATION, MULTI_LABEL, REGRESSION
from mixkd.student_train.objective.distances import (
    binary_cross_entropy,
    distance_of,
    squared_error,
)
from mixkd.student_train.objective.names import check_name

if TYPE_CHECKING:
    from torch import Tensor

Part = Literal["originals", "mixes"]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a term sees of B originals, or of B mixes.

    Attributes:
        student: The student's logits [B, C].
        teacher: The cached teacher's raw logits on the same inputs [B, C].
        targets: Labels as one-hot rows [B, C], or 0 and 1 per label, mixed for mixes; for
            regression the numbers [B, 1].
        labelled: int64, the positions of the rows with a label; None if all have one. A term that
            needs labels sees these rows alone.
    """

    student: Tensor
    teacher: Tensor
    targets: Tensor
    labelled: Tensor | None = None

    def with_labels(self) -> Rows:
        """Return the labelled rows."""
        at = self.labelled
        if at is None:
            return self
        return Rows(self.student[at], self.teacher[at], self.targets[at])


@dataclass(frozen=True, slots=True)
class Term:
    """A row of the table.

    Attributes:
        part: The rows of a batch that it sees.
        function: (rows, objective) -> [B].
        help: What it is, in a few words.
        needs_labels: Whether it reads `Rows.targets`; it is then given labelled rows only.
        needs_teacher: Whether it reads `Rows.teacher`.
    """

    name: str
    part: Part
    function: Callable[[Rows, Objective], Tensor]
    help: str
    needs_labels: bool = False
    needs_teacher: bool = False


TERMS: dict[str, Term] = {}


def register_term(term: Term) -> Term:
    """Add a term to the table.

    Raises:
        UsageError: If its name is taken or cannot be part of an option.
    """
    check_name("term", term.name, TERMS)
    TERMS[term.name] = term
    return term


@dataclass(frozen=True, slots=True)
class Objective:
    """L: the weights of the terms, and how the terms measure.

    Attributes:
        weights: Term -> weight; terms that are not named have weight 0.
        problem_type: One of `mixkd.shared.metrics.PROBLEM_TYPES`; of the cache.
        distance: Name of the distance between student and teacher.
        temperature: T > 0 of the distances that use one.
    """

    weights: Mapping[str, float]
    problem_type: str = CLASSIFICATION
    distance: str = "mse"
    temperature: float = 1.0

    @property
    def terms(self) -> list[Term]:
        """The terms that count, in the order of the table."""
        return [term for name, term in TERMS.items() if self.weights.get(name)]

    @property
    def needs_mixes(self) -> bool:
        """Whether a term that counts sees mixes."""
        return any(term.part == "mixes" for term in self.terms)

    def __call__(
        self,
        parts: Mapping[Part, Rows],
        counts: Mapping[Part, int],
        labelled: Mapping[Part, int] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms of a step: sums over this process's rows divided by the global count.

        Args:
            parts: This process's rows.
            counts: Rows of each part in the global batch; a part without rows gives 0.
            labelled: Those of them with a label; None if all have one.
        """
        losses = {}
        for term in self.terms:
            rows, count = parts[term.part], counts[term.part]
            if term.needs_labels and labelled is not None:
                rows, count = rows.with_labels(), labelled[term.part]
            losses[term.name] = term.function(rows, self).sum() / max(count, 1)
        return losses

    @property
    def labels_only(self) -> frozenset[Part]:
        """The parts whose rows no term that counts sees unless they have a label."""
        parts: tuple[Part, ...] = ("originals", "mixes")
        seen = {term.part for term in self.terms if not term.needs_labels}
        return frozenset(part for part in parts if part not in seen)

    def without_labels(self) -> Objective:
        """Return the objective of the terms that need no labels."""
        weights = {term.name: self.weights[term.name] for term in self.terms}
        kept = {name: value for name, value in weights.items() if not TERMS[name].needs_labels}
        return replace(self, weights=kept)

    def weighted(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the scalar L of a step's terms."""
        total = sum(self.weights[name] * loss for name, loss in losses.items())
        return cast("Tensor", total)


def supervised(rows: Rows, objective: Objective) -> Tensor:
    """Compute cross entropy of targets and student; for multi-label that of each label, mean over
    labels; for regression the squared error."""
    if objective.problem_type == REGRESSION:
        return squared_error(rows.student, rows.targets)  # [B]
    if objective.problem_type == MULTI_LABEL:
        return binary_cross_entropy(rows.student, rows.targets)  # [B]
    return -(rows.targets * rows.student.log_softmax(dim=1)).sum(dim=1)  # [B]


def imitation(rows: Rows, objective: Objective) -> Tensor:
    """Compute the distance between student and teacher."""
    measure = distance_of(objective.distance, objective.problem_type)
    return measure(rows.student, rows.teacher, objective.temperature)  # [B]


for _row in (
    Term("mle", "originals", supervised, "cross entropy on originals", needs_labels=True),
    Term("sm", "mixes", supervised, "cross entropy on mixes", needs_labels=True),
    Term("tmkd", "mixes", imitation, "distance to the teacher on mixes", needs_teacher=True),
    Term("kd", "originals", imitation, "distance to the teacher on originals", needs_teacher=True),
):
    register_term(_row)

# Method -> term -> weight; a term that is not named has weight 0.
PRESETS: dict[str, Mapping[str, float]] = {
    "ft": {"mle": 1},
    "kd": {"mle": 1, "kd": 1},
    "sm": {"mle": 1, "sm": 1},
    "tmkd": {"mle": 1, "tmkd": 1},
    "mixkd": {"mle": 1, "sm": 1, "tmkd": 1},
}
