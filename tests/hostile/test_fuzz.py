"""Whatever is changed in a cache, with every digest right, it reads or is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Tally
from tests.hostile import fuzz
from tests.hostile.fuzz_cases import Good, draw, good_caches

FINDS = Path(__file__).parent / "finds"
LEAST_PAST = 0.25  # of the executions: else digests are fuzzed, not parsers


@dataclass(frozen=True, slots=True)
class Bench:
    """Good caches and a process that reads changed ones."""

    goods: dict[str, Good]
    reader: fuzz.Reader


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with fuzz.temporary_folder() as folder:
        goods = good_caches(Path(folder))
        with fuzz.Reader(Path(folder)) as reader:
            yield Bench(goods, reader)


@pytest.mark.parametrize(
    ("seed", "seconds"),
    [
        (0, 22),
        pytest.param(1, 300, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_every_case_is_read_or_refused(seed: int, seconds: float, tally: Tally) -> None:
    report = fuzz.run(seed, seconds)
    tally("fuzz executions past the digest", report.past, of=report.executions)
    assert report.finds == []
    assert report.past > LEAST_PAST * report.executions > 0


def test_drawn_mutations(bench: Bench, tally: Tally) -> None:
    """The same mutations, drawn by hypothesis, which shrinks what it finds."""
    report = fuzz.Report()

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=600,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.sampled_from(sorted(bench.goods)), st.randoms(use_true_random=False))
    def read(name: str, random: Random) -> None:
        goods = {name: bench.goods[name]}
        before = len(report.finds)
        fuzz.note(report, bench.reader, goods, draw(random, goods), "drawn", None)
        assert report.finds[before:] == []

    read()
    tally("fuzz executions past the digest", report.past, of=report.executions)
    assert report.past > LEAST_PAST * report.executions > 0
