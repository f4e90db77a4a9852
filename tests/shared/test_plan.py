"""The plan is one list of pairs, whoever computes it and however much of it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixkd.shared.plan import complete_prefix, gaps, pairs, pass_of_pairs
from mixkd.shared.random import permutation, philox_words

SEARCH = settings(derandomize=True, deadline=None, database=None, max_examples=100)
GOLDEN_LEFT = [2, 0, 3, 1, 2, 4, 0, 4, 0]
GOLDEN_RIGHT = [3, 1, 1, 4, 3, 1, 4, 0, 3]
GOLDEN_LAM = [
    0.965142727,
    0.738497734,
    0.997712791,
    0.154268816,
    0.009790018,
    0.258864969,
    0.992947102,
    0.701387048,
    0.14607285,
]
GOLDEN_WORDS = [5705853004827290377, 6584680345644299050]


def test_golden_pairs() -> None:
    """Written down once: another plan would need another plan version."""
    found = pairs(3, 12, examples=5, seed=7, beta=0.4)
    assert found.left.tolist() == GOLDEN_LEFT
    assert found.right.tolist() == GOLDEN_RIGHT
    np.testing.assert_allclose(found.lam, GOLDEN_LAM, rtol=3e-7)


def test_golden_words() -> None:
    assert philox_words(1, 2, 2).tolist() == GOLDEN_WORDS
    assert philox_words(1, 2, 1, stream=1).tolist() != GOLDEN_WORDS[:1]


def test_dtypes() -> None:
    found = pairs(0, 10, examples=4, seed=0, beta=1.0)
    assert (found.left.dtype, found.right.dtype, found.lam.dtype) == ("uint32", "uint32", "float32")


@SEARCH
@given(
    examples=st.integers(2, 40),
    start=st.integers(0, 150),
    count=st.integers(1, 150),
    seed=st.integers(0, 2**53),
)
def test_a_row_does_not_depend_on_what_else_is_asked_for(
    examples: int, start: int, count: int, seed: int
) -> None:
    whole = pairs(0, start + count, examples=examples, seed=seed, beta=0.4)
    part = pairs(start, start + count, examples=examples, seed=seed, beta=0.4)
    for name in ("left", "right", "lam"):
        np.testing.assert_array_equal(getattr(whole, name)[start:], getattr(part, name))


@pytest.mark.parametrize("examples", [2, 3, 50])
@pytest.mark.parametrize("index", [0, 1, 9])
def test_a_pass_takes_every_example_once_as_left(examples: int, index: int) -> None:
    block = pass_of_pairs(3, index, examples, 0.4)
    assert sorted(block.left.tolist()) == list(range(examples))
    assert (block.left != block.right).all()
    assert block.right.max() < examples


def test_right_is_any_other_example() -> None:
    """All 4 x 3 combinations come up, about equally often."""
    found = pairs(0, 2400, examples=4, seed=0, beta=0.4)
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (found.left, found.right), 1)
    assert (np.diag(counts) == 0).all()
    assert counts[~np.eye(4, dtype=bool)].min() > 150


@pytest.mark.parametrize("beta", [0.2, 0.4, 1.0, 4.0])
def test_lam_follows_the_beta_distribution(beta: float) -> None:
    lam = pairs(0, 4000, examples=1000, seed=1, beta=beta).lam.astype(np.float64)
    assert stats.kstest(lam, stats.beta(beta, beta).cdf).pvalue > 0.01


@pytest.mark.parametrize("beta", [1e-3, 0.05, 1e3])
def test_lam_stays_in_range_for_extreme_beta(beta: float) -> None:
    lam = pairs(0, 2000, examples=500, seed=0, beta=beta).lam
    assert np.isfinite(lam).all()
    assert ((lam >= 0) & (lam <= 1)).all()


def test_seeds_and_passes_differ() -> None:
    blocks = [pass_of_pairs(seed, index, 100, 0.4) for seed, index in ((0, 0), (0, 1), (1, 0))]
    assert len({block.left.tobytes() for block in blocks}) == 3
    assert len({block.lam.tobytes() for block in blocks}) == 3


def test_permutation_is_one() -> None:
    assert sorted(permutation(0, 0, 1000).tolist()) == list(range(1000))
    assert permutation(0, 0, 1000).tolist() != permutation(0, 0, 1000, stream=1).tolist()


def test_gaps_of_an_extension() -> None:
    """50,000 pairs first, then 80,000: 30,000 are computed, cut where every build cuts."""
    first = gaps([], 50_000, 4096)
    assert first[0] == (0, 4096)
    assert first[-1] == (49_152, 50_000)
    then = gaps(first, 80_000, 4096)
    assert then[:2] == [(50_000, 53_248), (53_248, 57_344)]
    assert then[-1] == (77_824, 80_000)
    assert sum(stop - start for start, stop in then) == 30_000


def test_no_gaps_where_more_is_there() -> None:
    assert gaps([(0, 80)], 50, 16) == []
    assert gaps([], 0, 16) == []


def test_ranges_that_overlap() -> None:
    """No builder commits them, and every reader would refuse a seal of them."""
    assert complete_prefix([(0, 16), (8, 24), (24, 32)]) == 16
    assert gaps([(0, 32), (8, 16)], 40, 16) == [(32, 40)]


def ranges(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ascending ranges from (rows skipped, rows committed)."""
    found, position = [], 0
    for skipped, committed in steps:
        found.append((position + skipped, position + skipped + committed))
        position = found[-1][1]
    return found


RANGES = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), max_size=8).map(ranges)


@SEARCH
@given(committed=RANGES, target=st.integers(0, 200), shard_rows=st.integers(1, 40), data=st.data())
def test_gaps_complete_what_is_committed_without_overlap(
    committed: list[tuple[int, int]], target: int, shard_rows: int, data: st.DataObject
) -> None:
    found = gaps(data.draw(st.permutations(committed)), target, shard_rows)
    rows = [row for start, stop in found for row in range(start, stop)]
    there = {row for start, stop in committed for row in range(start, stop)}
    assert rows == [row for row in range(target) if row not in there]
    for start, stop in found:
        assert start < stop <= (start // shard_rows + 1) * shard_rows


@SEARCH
@given(committed=RANGES)
def test_complete_prefix(committed: list[tuple[int, int]]) -> None:
    there = {row for start, stop in committed for row in range(start, stop)}
    expected = next(row for row in range(10**6) if row not in there)
    assert complete_prefix(reversed(committed)) == expected
