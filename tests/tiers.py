"""Which cases of an exhaustive test the default run takes, and which the slow run.

    @pytest.mark.parametrize("part", tiers.parts(every=6, workers=2), ids=str)
    def test_killed_at_every_operation(part: Part) -> None:
        for number in part.of(operations): ...

The default run takes a fixed sample, the slow run every case, cut into parts for its workers. What
is sampled in one is exhausted by the other, so the slow run leaves the samples out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

Case = TypeVar("Case")


@dataclass(frozen=True, slots=True)
class Part:
    """Every `step`-th case from number `start` on; a sample takes the last one too."""

    start: int
    step: int
    is_sample: bool

    def __str__(self) -> str:
        if self.is_sample:
            return f"one_in_{self.step}"
        return f"part_{self.start + 1}_of_{self.step}" if self.step > 1 else "all"

    def of(self, cases: Sequence[Case]) -> list[Case]:
        """The cases of this part."""
        chosen = list(cases[self.start :: self.step])
        if self.is_sample and (len(cases) - 1 - self.start) % self.step:
            chosen.append(cases[-1])
        return chosen

    def endless(self) -> Iterator[int]:
        """The numbers of this part where nobody knows how many cases there are."""
        return itertools.count(self.start, self.step)


def parts(every: int, workers: int = 1) -> list[Any]:
    """Parameters: a sample of one case in `every`, and all cases in a part for each worker."""
    whole = [Part(start, workers, is_sample=False) for start in range(workers)]
    return [sample(Part(0, every, is_sample=True)), *(slow(part) for part in whole)]


def sample(*values: Any, **more: Any) -> Any:
    """Parameters of a test of the default run that the slow run includes in a larger one."""
    return pytest.param(*values, marks=pytest.mark.sampled, **more)


def slow(*values: Any, timeout_s: int = 900, **more: Any) -> Any:
    """Parameters of a test of the slow run."""
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.timeout(timeout_s)], **more)
