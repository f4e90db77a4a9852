"""The objective: L = a_mle L_MLE + a_sm L_SM + a_tmkd L_TMKD + a_kd L_KD, and its presets.

Following the MixKD objective (Liang et al., ICLR 2021, arXiv 2011.00593): cross entropy on the
originals (MLE), cross entropy on mixes with mixed labels (SM), a distance to the teacher's logits
on the same mixes (TMKD), and the same distance on the originals (KD; Hinton et al., arXiv
1503.02531).

Every term is a sum over the rows that it is given. The loop divides by the number of rows in the
global batch, so that several processes together compute what one computes alone.

A new term is a function here, an entry in `TERMS`, and a weight in `Weights` and the presets.

Shapes: B rows, C classes (1 for regression). All tensors are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Distance = Literal["mse", "kl", "ce"]
Part = Literal["originals", "mixes"]
DISTANCES: tuple[Distance, ...] = ("mse", "kl", "ce")


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts."""

    mle: float
    sm: float
    tmkd: float
    kd: float


PRESETS: Mapping[str, Weights] = MappingProxyType(
    {
        "ft": Weights(mle=1, sm=0, tmkd=0, kd=0),
        "kd": Weights(mle=1, sm=0, tmkd=0, kd=1),
        "sm": Weights(mle=1, sm=1, tmkd=0, kd=0),
        "tmkd": Weights(mle=1, sm=0, tmkd=1, kd=0),
        "mixkd": Weights(mle=1, sm=1, tmkd=1, kd=0),
    }
)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a term sees of B originals, or of B mixes.

    Attributes:
        student: The student's logits [B, C].
        teacher: The cached teacher's raw logits on the same inputs [B, C].
        targets: Labels as one-hot rows [B, C], mixed for mixes; for regression the numbers [B, 1].
    """

    student: Tensor
    teacher: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True)
class Objective:
    """Weights, and how the terms measure.

    Attributes:
        regression: Both the labels and the teacher are approached by squared error.
        distance: Between student and teacher; `mse` for regression.
        temperature: T > 0 of `kl` and `ce`; `mse` compares raw logits.
    """

    weights: Weights
    regression: bool = False
    distance: Distance = "mse"
    temperature: float = 1.0

    @property
    def terms(self) -> list[str]:
        """The terms that count, in the order of `TERMS`."""
        return [name for name in TERMS if getattr(self.weights, name)]

    @property
    def needs_mixes(self) -> bool:
        return any(TERMS[name].part == "mixes" for name in self.terms)

    def __call__(self, parts: Mapping[Part, Rows], counts: Mapping[Part, int]) -> dict[str, Tensor]:
        """The terms of a step, each a sum over this process's rows divided by the global count.

        Args:
            parts: This process's rows.
            counts: Rows of each part in the global batch; a part without rows gives 0.
        """
        return {
            name: TERMS[name].total(parts[TERMS[name].part], self)
            / max(counts[TERMS[name].part], 1)
            for name in self.terms
        }

    def weighted(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The scalar L of a step's terms."""
        total: Tensor = sum(getattr(self.weights, name) * loss for name, loss in losses.items())
        return total


def supervised(rows: Rows, objective: Objective) -> Tensor:
    """Cross entropy of targets and student, summed over rows; for regression the squared error."""
    if objective.regression:
        return squared_error(rows.student, rows.targets)
    return -(rows.targets * rows.student.log_softmax(dim=-1)).sum()


def imitation(rows: Rows, objective: Objective) -> Tensor:
    """The distance of student and teacher, summed over rows."""
    if objective.regression or objective.distance == "mse":
        return squared_error(rows.student, rows.teacher)
    temperature = objective.temperature
    student = (rows.student / temperature).log_softmax(dim=-1)  # [B, C]
    teacher = (rows.teacher / temperature).log_softmax(dim=-1)  # [B, C]
    if objective.distance == "kl":
        # T^2 keeps the size of the gradients when T changes (Hinton et al., section 2).
        return temperature**2 * (teacher.exp() * (teacher - student)).sum()
    return -(temperature**2) * (teacher.exp() * student).sum()


def squared_error(left: Tensor, right: Tensor) -> Tensor:
    """Squared differences [B, C], averaged over classes and summed over rows."""
    return (left - right).square().sum() / left.shape[1]


@dataclass(frozen=True, slots=True)
class Term:
    """A function of the rows of one part: (rows, objective) -> scalar sum."""

    part: Part
    total: Callable[[Rows, Objective], Tensor]


TERMS: Mapping[str, Term] = MappingProxyType(
    {
        "mle": Term("originals", supervised),
        "sm": Term("mixes", supervised),
        "tmkd": Term("mixes", imitation),
        "kd": Term("originals", imitation),
    }
)
