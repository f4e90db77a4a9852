"""The order is a closed form: originals once an epoch, pairs once a pass, from any place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixkd.student_train.order import WINDOW_BATCHES, Order, Window

SEARCH = settings(derandomize=True, deadline=None, database=None, max_examples=40)
GOLDEN_ORIGINALS = [[5, 1, 4, 0, 3, 2], [5, 3, 1, 4, 0, 2]]
GOLDEN_PAIRS = [[2, 1, 3, 0, 5, 4], [6, 1, 0, 2, 3, 4]]


def shards(*sizes: int) -> tuple[tuple[int, int], ...]:
    stops = np.cumsum([0, *sizes]).tolist()
    return tuple(itertools.pairwise(stops))


ORDER = Order(examples=150, shards=shards(64, 64, 30, 50), batch_size=2, mix_ratio=1.5, seed=3)


def windows(order: Order, epoch: int) -> list[Window]:
    return [order.window(epoch, index) for index in range(order.windows_per_epoch)]


def pairs_of(order: Order, epochs: int) -> list[int]:
    """Pair rows in the order in which windows take them."""
    return [
        row
        for epoch in range(epochs)
        for window in windows(order, epoch)
        for row in window.pairs.tolist()
    ]


def test_sizes() -> None:
    assert (ORDER.pairs, ORDER.steps_per_epoch, ORDER.windows_per_epoch) == (208, 75, 2)
    assert ORDER.pairs_per_epoch == 225
    assert [window.first_step for window in windows(ORDER, 0)] == [0, WINDOW_BATCHES]
    assert [len(window.originals) for window in windows(ORDER, 0)] == [128, 22]


def test_originals_once_an_epoch() -> None:
    orders = []
    for epoch in range(3):
        rows = np.concatenate([window.originals for window in windows(ORDER, epoch)])
        assert sorted(rows.tolist()) == list(range(150))
        orders.append(rows.tobytes())
    assert len(set(orders)) == 3


def test_pairs_once_a_pass_that_spans_epochs() -> None:
    rows = pairs_of(ORDER, 4)
    assert len(rows) == 900
    passes = [rows[start : start + 208] for start in range(0, 832, 208)]
    assert all(sorted(found) == list(range(208)) for found in passes)
    assert len({tuple(found) for found in passes}) == 4


@SEARCH
@given(
    examples=st.integers(2, 300),
    sizes=st.lists(st.integers(1, 40), max_size=5),
    batch_size=st.integers(1, 3),
    mix_ratio=st.sampled_from([0, 0.1, 0.5, 1, 1.3, 4]),
    seed=st.integers(0, 2**53),
    data=st.data(),
)
def test_windows_in_any_order_are_the_same(
    examples: int,
    sizes: list[int],
    batch_size: int,
    mix_ratio: float,
    seed: int,
    data: st.DataObject,
) -> None:
    def new() -> Order:
        return Order(examples, shards(*sizes), batch_size, mix_ratio, seed)

    order = new()
    places = [(e, i) for e in range(3) for i in range(order.windows_per_epoch)]
    plain = {place: order.window(*place) for place in places}
    for place in data.draw(st.permutations(places)):
        again = new().window(*place)
        np.testing.assert_array_equal(again.originals, plain[place].originals)
        np.testing.assert_array_equal(again.pairs, plain[place].pairs)
    rows = pairs_of(order, 3)
    assert len(rows) == 3 * order.pairs_per_epoch
    if sizes:
        counts = np.bincount(rows, minlength=order.pairs)
        assert counts.max() - counts.min() <= 1
    for window in plain.values():
        check_batches(order, window, seed)


def check_batches(order: Order, window: Window, seed: int) -> None:
    """Each of the window's rows in one batch, of the sizes that the settings say."""
    choose = np.random.default_rng(seed % 1000)
    lengths = choose.integers(1, 9, len(window.originals))
    pair_lengths = choose.integers(1, 9, len(window.pairs))
    batches = order.batches(window, lengths, pair_lengths)
    assert len(batches) == -(-len(window.originals) // order.batch_size)
    for part, count in ((0, len(window.originals)), (1, len(window.pairs))):
        rows = [row for batch in batches for row in batch[part].tolist()]
        assert sorted(rows) == list(range(count))
    assert all(len(originals) <= order.batch_size for originals, _ in batches)
    most = order.batch_size * order.mix_ratio + 1
    assert all(len(pairs) <= most for _, pairs in batches)


def test_batches_hold_rows_of_like_length() -> None:
    window = ORDER.window(0, 0)
    lengths = np.arange(len(window.originals))[::-1].copy()
    pair_lengths = np.arange(len(window.pairs)) % 7
    batches = ORDER.batches(window, lengths, pair_lengths)
    assert all(np.ptp(lengths[originals]) == 1 for originals, _ in batches)
    assert sum(np.ptp(pair_lengths[pairs]) for _, pairs in batches) <= 6
    shuffled = [int(lengths[originals].min()) for originals, _ in batches]
    assert shuffled != sorted(shuffled)


def test_batches_of_other_epochs_and_windows_are_shuffled_otherwise() -> None:
    order = Order(300, (), 2, 0, 0)
    found = set()
    for epoch in range(2):
        for index in range(2):
            window = order.window(epoch, index)
            batches = order.batches(window, np.arange(128), np.empty(0, np.int64))
            found.add(tuple(int(originals[0]) for originals, _ in batches))
    assert len(found) == 4


def test_a_window_touches_few_shards() -> None:
    """The pairs of a window come from neighbouring places of the shuffled shards."""
    order = Order(1000, shards(*[100] * 50), 2, 1, 0)
    for epoch in range(3):
        touched = np.unique(order.window(epoch, 0).pairs // 100)
        assert len(touched) <= 3


@pytest.mark.parametrize("shard_sizes", [(), (10,)])
def test_no_pairs(shard_sizes: tuple[int, ...]) -> None:
    order = Order(10, shards(*shard_sizes), 4, 0 if shard_sizes else 1, 0)
    assert order.pairs_per_epoch == 0
    assert order.window(0, 0).pairs.tolist() == []


def test_seeds_differ() -> None:
    other = Order(150, ORDER.shards, 2, 1.5, 4)
    assert other.window(0, 0).originals.tolist() != ORDER.window(0, 0).originals.tolist()
    assert other.window(0, 0).pairs.tolist() != ORDER.window(0, 0).pairs.tolist()


def test_golden_order() -> None:
    """Written down once: a run that was stopped is continued by a later version."""
    order = Order(6, shards(4, 3), 2, 1, 5)
    assert [order.window(epoch, 0).originals.tolist() for epoch in (0, 1)] == GOLDEN_ORIGINALS
    assert [order.window(epoch, 0).pairs.tolist() for epoch in (0, 1)] == GOLDEN_PAIRS
