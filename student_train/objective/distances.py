"""The distances to the teacher's logits: a function and a row of the table for each.

    register_distance(Distance("l1", l1, "mean absolute difference of raw logits"))

A registered distance can be chosen with `--distance` and in `TrainOptions`, nothing else is needed.
For a multi-label cache a distance compares each label's two outcomes and takes the mean over
labels, as `mse` does over raw logits: its weight beside the labels' term does not depend on C.
Shapes: B rows, C classes (1 for regression). All tensors are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixkd.shared.errors import UsageError
from mixkd.shared.problem_types import CLASSIFICATION, MULTI_LABEL, REGRESSION
from mixkd.student_train.objective.names import check_name

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Distance:
    """A row of the table.

    Attributes:
        function: (student [B, C], teacher [B, C], temperature) -> [B].
        help: What it measures, in a few words.
        uses_temperature: Whether the temperature changes it.
        fits_regression: Whether it compares raw numbers, and so has a meaning for one per example,
            and for labels that do not exclude each other.
        per_label: The version for such labels, where `function` is of a softmax.
    """

    name: str
    function: Callable[[Tensor, Tensor, float], Tensor]
    help: str
    uses_temperature: bool = False
    fits_regression: bool = False
    per_label: Callable[[Tensor, Tensor, float], Tensor] | None = None

    def of(self, problem_type: str) -> Callable[[Tensor, Tensor, float], Tensor] | None:
        """Return the function for a kind of labels; None if it has no meaning there."""
        if problem_type == CLASSIFICATION or self.fits_regression:
            return self.function
        return self.per_label if problem_type == MULTI_LABEL else None


DISTANCES: dict[str, Distance] = {}
LABELS = {REGRESSION: "labels are numbers", MULTI_LABEL: "labels do not exclude each other"}


def register_distance(distance: Distance) -> Distance:
    """Add a distance to the table.

    Raises:
        UsageError: If its name is taken or cannot be an option's value.
    """
    check_name("distance", distance.name, DISTANCES)
    DISTANCES[distance.name] = distance
    return distance


def distance_of(name: str, problem_type: str) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Look up the function of a distance for a kind of labels.

    Raises:
        UsageError: If it has no meaning there, naming those that have.
    """
    found = DISTANCES[name].of(problem_type)
    if found is None:
        fitting = [row.name for row in DISTANCES.values() if row.of(problem_type)]
        raise UsageError(
            "--distance",
            expected=f"{' or '.join(fitting)}, since this cache's {LABELS[problem_type]}",
            found=name,
            do="leave it out",
        )
    return found


def squared_error(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Compute squared differences, averaged over classes."""
    return (student - teacher).square().mean(dim=1)  # [B]


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Compute KL(teacher || student) at a temperature.

    T^2 keeps the size of the gradients when T changes (Hinton et al., arXiv 1503.02531, section 2).
    """
    log_student = (student / temperature).log_softmax(dim=1)  # [B, C]
    log_teacher = (teacher / temperature).log_softmax(dim=1)  # [B, C]
    return temperature**2 * (log_teacher.exp() * (log_teacher - log_student)).sum(dim=1)  # [B]


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Compute the cross entropy of the teacher's probabilities and the student, times T^2."""
    log_student = (student / temperature).log_softmax(dim=1)  # [B, C]
    probabilities = (teacher / temperature).softmax(dim=1)  # [B, C]
    return -(temperature**2) * (probabilities * log_student).sum(dim=1)  # [B]


def binary_cross_entropy(student: Tensor, targets: Tensor) -> Tensor:
    """Compute the cross entropy of each label's probability and the student's sigmoid, mean over
    labels, as `BCEWithLogitsLoss` does."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(student, targets, reduction="none").mean(dim=1)  # [B]


def label_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Compute the cross entropy of the teacher's sigmoids and the student's, times T^2."""
    probabilities = (teacher / temperature).sigmoid()  # [B, C]
    return temperature**2 * binary_cross_entropy(student / temperature, probabilities)  # [B]


def label_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Compute KL(teacher || student) of each label's two outcomes, mean over labels, times T^2."""
    itself = label_cross_entropy(teacher, teacher, temperature)  # [B], T^2 times the entropy
    return label_cross_entropy(student, teacher, temperature) - itself  # [B]


for _row in (
    Distance("mse", squared_error, "squared difference of raw logits", fits_regression=True),
    Distance(
        *("kl", divergence, "KL of the probabilities"),
        uses_temperature=True,
        per_label=label_divergence,
    ),
    Distance(
        *("ce", soft_cross_entropy, "cross entropy of the probabilities"),
        uses_temperature=True,
        per_label=label_cross_entropy,
    ),
):
    register_distance(_row)
