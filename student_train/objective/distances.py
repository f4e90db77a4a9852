"""The distances to the teacher's logits: a function and a row of the table for each.

    register_distance(Distance("l1", l1, "mean absolute difference of raw logits"))

A registered distance can be chosen with `--distance` and in `TrainOptions`, nothing else is needed.
Shapes: B rows, C classes (1 for regression). All tensors are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        fits_regression: Whether it has a meaning for one number per example.
    """

    name: str
    function: Callable[[Tensor, Tensor, float], Tensor]
    help: str
    uses_temperature: bool = False
    fits_regression: bool = False


DISTANCES: dict[str, Distance] = {}


def register_distance(distance: Distance) -> Distance:
    """Add a distance to the table.

    Raises:
        UsageError: If its name is taken or cannot be an option's value.
    """
    check_name("distance", distance.name, DISTANCES)
    DISTANCES[distance.name] = distance
    return distance


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


for _row in (
    Distance("mse", squared_error, "squared difference of raw logits", fits_regression=True),
    Distance("kl", divergence, "KL of the probabilities", uses_temperature=True),
    Distance("ce", soft_cross_entropy, "cross entropy of the probabilities", uses_temperature=True),
):
    register_distance(_row)
