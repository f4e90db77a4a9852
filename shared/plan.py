"""The plan, version 1: which pairs are mixed with which weight, known before anything is computed.

Pairs come in blocks of one pass over the train split's n examples. A block is a function of
(seed, pass) through raw Philox words alone, so pair k does not depend on how many pairs are asked
for, nor on batches, workers or machines.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PLAN_VERSION = 1


@dataclass(frozen=True, slots=True)
class Pairs:
    """Planned pairs: `left`, `right` uint32 [n] train ids; `lam` float32 [n], the left's weight."""

    left: npt.NDArray[np.uint32]
    right: npt.NDArray[np.uint32]
    lam: npt.NDArray[np.float32]

    def __getitem__(self, rows: slice) -> Pairs:
        return Pairs(self.left[rows], self.right[rows], self.lam[rows])


def words(
    seed: int, index: int, count: int, stream: int = 0, start: int = 0
) -> npt.NDArray[np.uint64]:
    """`count` raw Philox words of (seed, index); `stream` keeps independent uses apart.

    Raw words are the same in every build of NumPy; the distributions of `Generator` are not
    promised to be (NumPy's compatibility policy for random streams, NEP 19).
    """
    bits = np.random.Philox(key=[seed, index], counter=[start, 0, 0, stream])
    return bits.random_raw(count)


def permutation(seed: int, index: int, size: int, stream: int = 0) -> npt.NDArray[np.int64]:
    """A permutation of `size` numbers: the stable argsort of as many words."""
    return np.argsort(words(seed, index, size, stream), kind="stable")


@functools.lru_cache(maxsize=2)  # the shards of a pass follow each other
def pass_of_pairs(seed: int, index: int, examples: int, beta: float) -> Pairs:
    """The block of pairs of pass `index`: every example once as left, with another one as right.

    lam is the inverse Beta(beta, beta) distribution function of a word, as in mixup (Zhang et al.,
    ICLR 2018, arXiv 1710.09412).
    """
    from scipy.special import betaincinv

    by_left, by_right, by_lam = words(seed, index, 3 * examples).reshape(3, examples)
    left = np.argsort(by_left, kind="stable").astype(np.uint64)
    right = (left + 1 + by_right % np.uint64(examples - 1)) % np.uint64(examples)
    uniform = ((by_lam >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    lam = betaincinv(beta, beta, uniform).astype(np.float32)
    block = (left.astype(np.uint32), right.astype(np.uint32), lam)
    for values in block:
        values.flags.writeable = False
    return Pairs(*block)


def pairs(start: int, stop: int, *, examples: int, seed: int, beta: float) -> Pairs:
    """Rows [start, stop) of the endless list of pairs; at least two examples are needed."""
    first, last = start // examples, -(-stop // examples)
    blocks = [pass_of_pairs(seed, index, examples, beta) for index in range(first, last)]
    wanted = slice(start - first * examples, stop - first * examples)
    return Pairs(
        *(
            np.concatenate([getattr(block, name) for block in blocks])[wanted]
            for name in ("left", "right", "lam")
        )
    )


def gaps(
    committed: Iterable[tuple[int, int]], target: int, shard_rows: int
) -> list[tuple[int, int]]:
    """The ranges still to be computed below `target`, cut at multiples of `shard_rows`."""
    missing = []
    position = 0
    for start, stop in [*sorted(committed), (target, target)]:
        while position < min(start, target):
            cut = min(start, target, (position // shard_rows + 1) * shard_rows)
            missing.append((position, cut))
            position = cut
        position = max(position, stop)
    return missing


def complete_prefix(committed: Iterable[tuple[int, int]]) -> int:
    """Rows from 0 on that are committed without a gap."""
    position = 0
    for start, stop in sorted(committed):
        if start != position:
            break
        position = stop
    return position
