"""From the order to padded batches: the originals of a step and the mixes that go with them.

A batch holds originals first, as the mixes (i, i, 1), then the cache's pairs: one forward serves
both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Indices
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch, mix
from mixkd.shared.pairs import PairTable
from mixkd.student_train.joined import JoinedPairs
from mixkd.student_train.objective.terms import Part
from mixkd.student_train.order import WINDOW_BATCHES, Order

Float = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """One process's part of a step.

    Attributes:
        inputs: B mixes; the first `rows["originals"]` of them are originals. Never empty: where
            this process has no rows, one row that is not counted keeps the processes in step.
        targets: float32 [B, C], one-hot or mixed labels; numbers [B, 1] for regression.
        teacher: float32 [B, C], the cached logits.
        rows: This process's rows that are counted, per part.
        counts: Rows of the global batch, per part.
    """

    inputs: MixBatch
    targets: Float
    teacher: Float
    rows: dict[Part, int]
    counts: dict[Part, int]


@dataclass(frozen=True, slots=True)
class Source:
    """What batches are made of.

    Attributes:
        examples: The train split in the student's ids.
        teacher: The teacher's logits on it, float32 [n, C].
        pairs: Of the cache or caches.
        regression: Labels are numbers rather than classes.
        pad_id: The student's id for padding.
    """

    examples: Examples
    teacher: Float
    pairs: JoinedPairs
    regression: bool
    pad_id: int

    def targets(self, ids: npt.ArrayLike) -> Float:
        """Return the labels of train examples as float32 [n, C]: one-hot, or the numbers."""
        labels = self.examples.labels[np.asarray(ids)][:, None]  # [n, 1]
        if self.regression:
            return np.asarray(labels, np.float32)
        return np.asarray(labels == np.arange(self.teacher.shape[1]), np.float32)  # [n, C]

    def table(self, numbers: Indices) -> PairTable:
        """Return the pairs of these row numbers with their logits; no shard is read for none."""
        if len(numbers):
            return self.pairs.rows(numbers)
        none = np.empty(0, np.uint32)
        logits = np.empty((0, self.teacher.shape[1]), np.float32)  # [0, C]
        return PairTable(none, none, np.empty(0, np.float32), logits)


def batches(
    source: Source, order: Order, epoch: int, done: int, rank: int, world: int
) -> Iterator[Batch]:
    """Yield this process's batches of an epoch, from step `done` on: rows `rank::world` of each."""
    lengths = source.examples.lengths  # [n]
    for index in range(done // WINDOW_BATCHES, order.windows_per_epoch):
        window = order.window(epoch, index)
        pairs = source.table(window.pairs)
        longer = np.maximum(lengths[pairs.left], lengths[pairs.right])  # [pairs]
        steps = order.batches(window, lengths[window.originals], longer)
        for originals, mixes in steps[max(0, done - window.first_step) :]:
            ids = window.originals[originals]
            mine = ids[rank::world], pairs[mixes[rank::world]]
            counts: dict[Part, int] = {"originals": len(ids), "mixes": len(mixes)}
            yield _batch(source, *mine, counts, ids[:1])


def _batch(
    source: Source, originals: Indices, mixes: PairTable, counts: dict[Part, int], stand_in: Indices
) -> Batch:
    rows: dict[Part, int] = {"originals": len(originals), "mixes": len(mixes)}
    ids = originals if len(originals) + len(mixes) else stand_in
    table = PairTable.concatenate([PairTable.originals(ids, source.teacher[ids]), mixes])
    return Batch(
        inputs=source.examples.mixes(table, source.pad_id),
        targets=mix(source.targets(table.left), source.targets(table.right), table.lam),  # [B, C]
        teacher=table.known_logits,  # [B, C]
        rows=rows,
        counts=counts,
    )
