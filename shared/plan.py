"""The plan, version 1: which pairs are mixed with which weight, known before anything is computed.

Pairs come in blocks of one pass over the train split's n examples. A block is a function of
(seed, pass) through raw Philox words alone, so pair k does not depend on how many pairs are asked
for, nor on batches, workers or machines.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

from mixkd.shared.arrays import RowRange
from mixkd.shared.pairs import PairTable
from mixkd.shared.random import philox_words

PLAN_VERSION = 1


@functools.lru_cache(maxsize=2)  # the shards of a pass follow each other
def pass_of_pairs(seed: int, index: int, examples: int, beta: float) -> PairTable:
    """Draw the pairs of pass `index`: every example once as left, with another one as right.

    lam is the inverse Beta(beta, beta) distribution function of a word, as in mixup (Zhang et al.,
    ICLR 2018, arXiv 1710.09412).
    """
    from scipy.special import betaincinv

    by_left, by_right, by_lam = philox_words(seed, index, 3 * examples).reshape(3, examples)
    left = np.argsort(by_left, kind="stable").astype(np.uint64)
    right = (left + 1 + by_right % np.uint64(examples - 1)) % np.uint64(examples)
    uniform = ((by_lam >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    lam = betaincinv(beta, beta, uniform).astype(np.float32)
    block = (left.astype(np.uint32), right.astype(np.uint32), lam)
    for values in block:
        values.flags.writeable = False
    return PairTable(*block)


def pairs(start: int, stop: int, *, examples: int, seed: int, beta: float) -> PairTable:
    """Return rows [start, stop) of the endless list of pairs; it needs two examples."""
    first, last = start // examples, -(-stop // examples)
    blocks = [pass_of_pairs(seed, index, examples, beta) for index in range(first, last)]
    wanted = slice(start - first * examples, stop - first * examples)
    return PairTable.concatenate(blocks)[wanted]


def gaps(committed: Iterable[RowRange], target: int, shard_rows: int) -> list[RowRange]:
    """Find the ranges still to be computed below `target`, cut at multiples of `shard_rows`."""
    missing = []
    position = 0
    for start, stop in [*sorted(committed), (target, target)]:
        while position < min(start, target):
            cut = min(start, target, (position // shard_rows + 1) * shard_rows)
            missing.append((position, cut))
            position = cut
        position = max(position, stop)
    return missing


def complete_prefix(committed: Iterable[RowRange]) -> int:
    """Count the rows from 0 on that are committed without a gap."""
    position = 0
    for start, stop in sorted(committed):
        if start != position:
            break
        position = stop
    return position
