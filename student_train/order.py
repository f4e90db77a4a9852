"""The trainer's order: which rows are in which step, a closed form of (seed, epoch).

No buffer holds rows between steps, so a state is a few integers, and the sequence of global batches
is the same for every number of processes. Originals come once per epoch; pairs once per pass over
the cache, a pass spanning epochs. Batches are grouped by length within windows of 64 batches.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from mixkd.shared.arrays import Indices
from mixkd.shared.random import Stream, permutation

WINDOW_BATCHES = 64


@dataclass(frozen=True, slots=True)
class Window:
    """Up to 64 consecutive batches of an epoch, not yet grouped.

    Attributes:
        epoch, index: Which window of which epoch.
        originals: Train ids, int64.
        pairs: Row numbers of the cache's pairs, int64.
        first_step: The epoch's step of its first batch.
    """

    epoch: int
    index: int
    originals: Indices
    pairs: Indices
    first_step: int


@dataclass(frozen=True)
class Order:
    """The order of a run.

    Attributes:
        examples: Train examples, n.
        shards: (start, stop) of each shard of pairs, in row order; empty to use none.
        batch_size: Originals in a global batch.
        mix_ratio: Pairs per original; 0 to use none.
        seed: Of this run.
    """

    examples: int
    shards: tuple[tuple[int, int], ...]
    batch_size: int
    mix_ratio: float
    seed: int

    @property
    def pairs(self) -> int:
        """Pairs per pass."""
        return self.shards[-1][1] if self.shards else 0

    @property
    def steps_per_epoch(self) -> int:
        """Global batches per epoch."""
        return -(-self.examples // self.batch_size)

    @property
    def pairs_per_epoch(self) -> int:
        """Pairs that go with the originals of an epoch."""
        return self._pairs_until(self.examples)

    @property
    def windows_per_epoch(self) -> int:
        """Windows of up to 64 batches per epoch."""
        return -(-self.steps_per_epoch // WINDOW_BATCHES)

    def window(self, epoch: int, index: int) -> Window:
        """Return the rows of a window; equal for equal arguments, in any order of calls."""
        first_step = index * WINDOW_BATCHES
        start = first_step * self.batch_size
        stop = min(start + WINDOW_BATCHES * self.batch_size, self.examples)
        offset = epoch * self.pairs_per_epoch
        return Window(
            epoch=epoch,
            index=index,
            originals=_originals(self.seed, epoch, self.examples)[start:stop],
            pairs=self.pair_rows(
                offset + self._pairs_until(start), offset + self._pairs_until(stop)
            ),
            first_step=first_step,
        )

    def batches(
        self, window: Window, original_lengths: Indices, pair_lengths: Indices
    ) -> list[tuple[Indices, Indices]]:
        """Return the window's batches, each as (positions in originals, positions in pairs).

        Rows of similar length come together; the order of the batches is then shuffled.

        Args:
            original_lengths: Tokens of each of the window's originals.
            pair_lengths: Tokens of the longer side of each of the window's pairs.
        """
        by_length = np.argsort(original_lengths, kind="stable")
        pairs_by_length = np.argsort(pair_lengths, kind="stable")
        start = window.first_step * self.batch_size
        cuts = [*range(0, len(by_length), self.batch_size), len(by_length)]
        pair_cuts = [self._pairs_until(start + cut) - self._pairs_until(start) for cut in cuts]
        batches = [
            (by_length[a:b], pairs_by_length[c:d])
            for a, b, c, d in zip(cuts, cuts[1:], pair_cuts, pair_cuts[1:], strict=False)
        ]
        key = window.epoch * self.windows_per_epoch + window.index
        return [batches[i] for i in permutation(self.seed, key, len(batches), Stream.BATCHES)]

    def pair_rows(self, start: int, stop: int) -> Indices:
        """Return the row numbers at positions [start, stop) of the endless sequence of passes."""
        parts = [np.empty(0, np.int64)]
        while start < stop:
            index, first = divmod(start, self.pairs)
            last = min(self.pairs, first + stop - start)
            parts.append(self._rows_of_pass(index, first, last))
            start += last - first
        return np.concatenate(parts)

    def _rows_of_pass(self, index: int, start: int, stop: int) -> Indices:
        """Return positions [start, stop) of a pass: shards shuffled, and rows within each.

        A window thus touches a few shards only, and the cost does not depend on the cache's size.
        """
        shards, ends = _shards_of_pass(self.seed, index, self.shards)
        first, last = np.searchsorted(ends, [start, stop - 1], side="right")
        rows = []
        for position in range(first, last + 1):
            shard = int(shards[position])
            shard_start, shard_stop = self.shards[shard]
            key = index * len(self.shards) + shard
            order = shard_start + permutation(self.seed, key, shard_stop - shard_start, Stream.ROWS)
            begin = int(ends[position]) - len(order)
            rows.append(order[max(0, start - begin) : stop - begin])
        return np.concatenate(rows)

    def _pairs_until(self, originals: int) -> int:
        """Count the pairs that go with the first `originals` of an epoch."""
        return math.floor(originals * self.mix_ratio) if self.pairs else 0


@functools.lru_cache(maxsize=2)
def _originals(seed: int, epoch: int, examples: int) -> Indices:
    return permutation(seed, epoch, examples, Stream.ORIGINALS)


@functools.lru_cache(maxsize=2)
def _shards_of_pass(
    seed: int, index: int, shards: tuple[tuple[int, int], ...]
) -> tuple[Indices, Indices]:
    """Return the shuffled shards of a pass, and the positions where they end in it."""
    order = permutation(seed, index, len(shards), Stream.SHARDS)
    sizes = np.array([stop - start for start, stop in shards], np.int64)
    return order, np.cumsum(sizes[order])
