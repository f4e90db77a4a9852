"""The slow run's parts are together every case once; the default run's sample has both ends."""

from __future__ import annotations

import itertools

import pytest

from tests import tiers
from tests.tiers import Part


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 60, 223])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_parts(count: int, workers: int) -> None:
    cases = range(count)
    sample, *whole = (parameter.values[0] for parameter in tiers.parts(every=6, workers=workers))
    assert sorted(itertools.chain(*(part.of(cases) for part in whole))) == list(cases)
    chosen = sample.of(cases)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert len(set(chosen)) == len(chosen) <= count / 6 + 2


def test_parts_of_what_has_no_end() -> None:
    assert list(itertools.islice(Part(0, 5, is_sample=True).endless(), 3)) == [0, 5, 10]


def test_names_and_marks() -> None:
    parameters = tiers.parts(every=6, workers=2)
    names = [str(parameter.values[0]) for parameter in parameters]
    assert names == ["one_in_6", "part_1_of_2", "part_2_of_2"]
    marks = [[mark.name for mark in parameter.marks] for parameter in parameters]
    assert marks == [["sampled"], *[["slow", "timeout"]] * 2]
