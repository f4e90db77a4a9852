"""From the order to padded batches: the originals of a step and the mixes that go with them.

A batch holds originals first, as the mixes (i, i, 1), then the cache's pairs: one forward serves
both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Indices
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import CLASSIFICATION
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
        targets: float32 [B, C], one-hot labels or 0 and 1 per label, mixed for mixes; numbers
            [B, 1] for regression; 0 where a row is not labelled.
        labelled: bool [B], whether a row has a label: both of its sides must have one.
        teacher: float32 [B, C], the cached logits.
        rows: This process's rows that are counted, per part.
        counts: Rows of the global batch, per part.
        labelled_counts: Rows of the global batch with a label, per part.
    """

    inputs: MixBatch
    targets: Float
    labelled: npt.NDArray[np.bool_]
    teacher: Float
    rows: dict[Part, int]
    counts: dict[Part, int]
    labelled_counts: dict[Part, int]


@dataclass(frozen=True, slots=True)
class Source:
    """What batches are made of.

    Attributes:
        examples: The train split in the student's ids.
        teacher: The teacher's logits on it, float32 [n, C].
        pairs: Of the cache or caches.
        problem_type: What kind of labels the examples have.
        pad_id: The student's id for padding.
        originals: The examples that the order numbers, int64; None: all.
        labels_only: Parts whose rows nothing is learnt from unless they have a label: the others
            are counted, but left out of the batch.
    """

    examples: Examples
    teacher: Float
    pairs: JoinedPairs
    problem_type: str
    pad_id: int
    originals: Indices | None = None
    labels_only: Collection[Part] = ()

    def targets(self, ids: npt.ArrayLike) -> Float:
        """Return the labels of train examples as float32 [n, C]: one-hot, or 0 and 1 per label, or
        the numbers. Rows without a label are to be left out."""
        labels = self.examples.labels[np.asarray(ids)]  # [n], or [n, C] for multi-label
        if self.problem_type != CLASSIFICATION:
            return np.asarray(labels, np.float32).reshape(len(labels), -1)
        return np.asarray(labels[:, None] == np.arange(self.teacher.shape[1]), np.float32)  # [n, C]

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
    lengths, labelled = source.examples.lengths, source.examples.labelled  # [n]
    for index in range(done // WINDOW_BATCHES, order.windows_per_epoch):
        window = order.window(epoch, index)
        numbers = window.originals
        examples = numbers if source.originals is None else source.originals[numbers]
        pairs = source.table(window.pairs)
        longer = np.maximum(lengths[pairs.left], lengths[pairs.right])  # [pairs]
        both = labelled[pairs.left] & labelled[pairs.right]  # [pairs]
        steps = order.batches(window, lengths[examples], longer)
        for originals, mixes in steps[max(0, done - window.first_step) :]:
            ids = examples[originals]
            mine, my_mixes = ids[rank::world], mixes[rank::world]
            if "originals" in source.labels_only:
                mine = mine[labelled[mine]]
            if "mixes" in source.labels_only:
                my_mixes = my_mixes[both[my_mixes]]
            counts: dict[Part, int] = {"originals": len(ids), "mixes": len(mixes)}
            labelled_counts: dict[Part, int] = {
                "originals": int(labelled[ids].sum()),
                "mixes": int(both[mixes].sum()),
            }
            yield _batch(source, mine, pairs[my_mixes], labelled, counts, labelled_counts, ids[:1])


def _batch(
    source: Source,
    originals: Indices,
    mixes: PairTable,
    has_label: npt.NDArray[np.bool_],
    counts: dict[Part, int],
    labelled_counts: dict[Part, int],
    stand_in: Indices,
) -> Batch:
    rows: dict[Part, int] = {"originals": len(originals), "mixes": len(mixes)}
    ids = originals if len(originals) + len(mixes) else stand_in
    table = PairTable.concatenate([PairTable.originals(ids, source.teacher[ids]), mixes])
    labelled = has_label[table.left] & has_label[table.right]  # [B]
    targets = mix(source.targets(table.left), source.targets(table.right), table.lam)  # [B, C]
    return Batch(
        inputs=source.examples.mixes(table, source.pad_id),
        targets=np.where(labelled[:, None], targets, np.float32(0)),  # [B, C]
        labelled=labelled,
        teacher=table.known_logits,  # [B, C]
        rows=rows,
        counts=counts,
        labelled_counts=labelled_counts,
    )
