"""The order once more, slowly and with lists: what `student_train/order.py` must equal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from mixkd.shared.random import Stream, philox_words
from mixkd.student_train.order import WINDOW_BATCHES, Order

Step = list[list[int]]


def shuffled(seed: int, key: int, size: int, stream: int) -> list[int]:
    drawn = philox_words(seed, key, size, stream).tolist()
    return sorted(range(size), key=drawn.__getitem__)


def passes(order: Order) -> Iterator[int]:
    """Pair rows without end: pass after pass, shards shuffled, rows shuffled in each."""
    count = len(order.shards)
    for index in itertools.count() if count else ():
        for shard in shuffled(order.seed, index, count, Stream.SHARDS):
            start, stop = order.shards[shard]
            key = index * count + shard
            yield from (start + row for row in shuffled(order.seed, key, stop - start, Stream.ROWS))


def steps(
    order: Order, epochs: int, length: Callable[[int], int], pair_length: Callable[[int], int]
) -> list[Step]:
    """Every global batch of a run, as [original ids, pair rows].

    Args:
        length, pair_length: Tokens of a train id, and of the longer side of a pair row.
    """
    pairs = passes(order)
    found: list[Step] = []
    for epoch in range(epochs):
        ids = shuffled(order.seed, epoch, order.examples, Stream.ORIGINALS)
        window_rows = WINDOW_BATCHES * order.batch_size
        windows = [ids[start : start + window_rows] for start in range(0, len(ids), window_rows)]
        for index, window in enumerate(windows):
            start = index * window_rows
            # How many pairs go with each original, so that a share of pairs is not lost.
            shares = [
                pairs_until(order, row + 1) - pairs_until(order, row)
                for row in range(start, start + len(window))
            ]
            mixes = sorted(itertools.islice(pairs, sum(shares)), key=pair_length)
            originals = sorted(window, key=length)
            batches: list[Step] = []
            while originals:
                size = min(order.batch_size, len(originals))
                share, shares = sum(shares[:size]), shares[size:]
                batches.append([originals[:size], mixes[:share]])
                originals, mixes = originals[size:], mixes[share:]
            key = epoch * len(windows) + index
            found += [batches[i] for i in shuffled(order.seed, key, len(batches), Stream.BATCHES)]
    return found


def pairs_until(order: Order, originals: int) -> int:
    return math.floor(originals * order.mix_ratio) if order.shards else 0


def check_once_each(order: Order, found: list[Step], epochs: int) -> None:
    """Originals exactly once an epoch; pairs exactly once a pass, which may span epochs.

    A window groups its pairs by length, also those of two passes, so they are counted at its end.
    """
    counts = np.zeros(order.pairs, np.int64)
    assert len(found) == epochs * order.steps_per_epoch
    for epoch in range(epochs):
        steps_of_epoch = found[epoch * order.steps_per_epoch :][: order.steps_per_epoch]
        rows = [row for originals, _ in steps_of_epoch for row in originals]
        assert sorted(rows) == list(range(order.examples))
        for start in range(0, order.steps_per_epoch, WINDOW_BATCHES):
            for _, pairs in steps_of_epoch[start : start + WINDOW_BATCHES]:
                np.add.at(counts, pairs, 1)
            assert not order.pairs or counts.max() - counts.min() <= 1
    assert counts.sum() == epochs * order.pairs_per_epoch
