"""Random numbers that are the same everywhere: raw Philox words, one stream per use.

Raw words are the same in every build of NumPy; the distributions of `Generator` are not promised to
be (NumPy's compatibility policy for random streams, NEP 19).
"""

from __future__ import annotations

import enum

import numpy as np
import numpy.typing as npt


class Stream(enum.IntEnum):
    """What words are drawn for; a number is never given to another use."""

    PLAN = 0
    ORIGINALS = 1
    SHARDS = 2
    ROWS = 3
    BATCHES = 4
    DROPOUT = 5
    HELD_OUT = 101
    SUBSET = 102


def philox_words(
    seed: int, index: int, count: int, stream: int = Stream.PLAN, start: int = 0
) -> npt.NDArray[np.uint64]:
    """Return raw words of (seed, index, stream), uint64 [count], from word 4 * `start` on."""
    bits = np.random.Philox(key=[seed, index], counter=[start, 0, 0, stream])
    return bits.random_raw(count)


def permutation(
    seed: int, index: int, size: int, stream: int = Stream.PLAN
) -> npt.NDArray[np.int64]:
    """Return a permutation of `size` numbers: the stable argsort of as many words, int64 [size]."""
    return np.argsort(philox_words(seed, index, size, stream), kind="stable")
