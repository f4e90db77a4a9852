"""From the order to padded batches: the originals of a step and the mixes that go with them.

A batch holds originals first, as the mixes (i, i, 1), then the cache's pairs: one forward serves
both. Only this module touches pairs; it holds a few shards at a time, whatever the cache's size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DifferentCacheError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch, mix
from mixkd.shared.pairs import PairTable
from mixkd.student_train.objective.terms import Part
from mixkd.student_train.order import WINDOW_BATCHES, Order

Rows = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]
SHARDS_HELD = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """One process's part of a step.

    Attributes:
        inputs: B mixes; the first `originals` of them are originals. Never empty: where this
            process has no rows, one row that counts for nothing keeps the processes in step.
        targets: float32 [B, C], one-hot or mixed labels; numbers [B, 1] for regression.
        teacher: float32 [B, C], the cached logits.
        rows: This process's rows that count, by part.
        counts: Rows of the global batch, by part.
    """

    inputs: MixBatch
    targets: Float
    teacher: Float
    rows: dict[Part, int]
    counts: dict[Part, int]


class JoinedPairs:
    """The pairs of one cache, or of several with the same rows, whose raw logits are averaged."""

    def __init__(self, caches: Sequence[Cache]) -> None:
        self.caches = caches
        self.shards = tuple((record.start, record.stop) for record in caches[0].pair_records)
        self._readers = [_reader(cache) for cache in caches]

    def __len__(self) -> int:
        return self.shards[-1][1] if self.shards else 0

    def rows(self, numbers: Rows) -> PairTable:
        """The pairs of these row numbers, in their order.

        Raises:
            DifferentCacheError: If the caches' rows are not the same.
        """
        found = [
            _gather(cache, read, numbers)
            for cache, read in zip(self.caches, self._readers, strict=True)
        ]
        first, *others = found
        for cache, other in zip(self.caches[1:], others, strict=True):
            if not _same_pairs(first, other):
                raise different(cache, "the same pairs as the first cache", "other pairs")
        logits = mean([rows["logits"] for rows in found])
        return PairTable(first["left"], first["right"], first["lam"], logits)


@dataclass(frozen=True, slots=True)
class Source:
    """What batches are made of.

    Attributes:
        examples: The train split in the student's ids.
        teacher: Logits on it, float32 [n, C].
        pairs: Of the cache or caches.
        regression: Labels are numbers rather than classes.
        pad_id: The student's.
    """

    examples: Examples
    teacher: Float
    pairs: JoinedPairs
    regression: bool
    pad_id: int

    def targets(self, ids: npt.ArrayLike) -> Float:
        """Labels of train examples as float32 [n, C]: one-hot, or the numbers."""
        labels = self.examples.labels[np.asarray(ids)][:, None]
        if self.regression:
            return np.asarray(labels, np.float32)
        return np.asarray(labels == np.arange(self.teacher.shape[1]), np.float32)


def batches(
    source: Source, order: Order, epoch: int, done: int, rank: int, world: int
) -> Iterator[Batch]:
    """This process's batches of an epoch, from step `done` on: rows `rank::world` of each step."""
    for index in range(done // WINDOW_BATCHES, order.windows_per_epoch):
        window = order.window(epoch, index)
        pairs = source.pairs.rows(window.pairs) if len(window.pairs) else _no_pairs(source)
        lengths = source.examples.lengths
        steps = order.batches(
            window,
            lengths[window.originals],
            np.maximum(lengths[pairs.left], lengths[pairs.right]),
        )
        for originals, mixes in steps[max(0, done - window.first_step) :]:
            counts: dict[Part, int] = {"originals": len(originals), "mixes": len(mixes)}
            ids = window.originals[originals]
            yield _batch(source, ids[rank::world], pairs, mixes[rank::world], counts, ids[:1])


def _batch(
    source: Source,
    originals: Rows,
    pairs: PairTable,
    mixes: Rows,
    counts: dict[Part, int],
    stand_in: Rows,
) -> Batch:
    rows: dict[Part, int] = {"originals": len(originals), "mixes": len(mixes)}
    if not len(originals) + len(mixes):
        originals = stand_in
    table = PairTable.concatenate(
        [PairTable.originals(originals, source.teacher[originals]), pairs[mixes]]
    )
    targets = mix(source.targets(table.left), source.targets(table.right), table.lam)  # [B, C]
    return Batch(
        inputs=source.examples.mixes(table, source.pad_id),
        targets=targets,
        teacher=table.known_logits,
        rows=rows,
        counts=counts,
    )


def check_same(caches: Sequence[Cache]) -> None:
    """Refuse caches that cannot be averaged, as far as their identities and seals tell.

    Their pairs are compared where they are read.

    Raises:
        DifferentCacheError: Naming what differs.
    """
    first = _comparable(caches[0])
    for cache in caches[1:]:
        other = _comparable(cache)
        for name, value in first.items():
            if other[name] != value:
                raise different(cache, f"{name} of the first cache, {value}", other[name])


def mean(logits: Sequence[npt.NDArray[Any]]) -> Float:
    """The teachers' mean raw logits, float32 [n, C]."""
    return np.asarray(np.mean(logits, axis=0, dtype=np.float64), np.float32)


def different(cache: Cache, expected: str, found: object) -> DifferentCacheError:
    return DifferentCacheError(
        cache.root,
        expected=expected,
        found=found,
        do="average only caches built from the same data with the same --pairs, --seed and --beta",
    )


def _comparable(cache: Cache) -> dict[str, Any]:
    """Texts rather than ids: another teacher may have another tokenizer for the same examples."""
    identity = cache.identity
    return {
        "problem type": identity.problem_type,
        "label names": identity.label_names,
        "splits": [(split.name, split.rows, split.texts_sha256[:12]) for split in identity.splits],
        "seed": identity.mixup.seed,
        "beta": identity.mixup.beta,
        "mask": identity.mixup.mask,
        "number of pairs": cache.seal.rows.pairs,
    }


def _reader(cache: Cache) -> Any:
    """The columns of the shard at a position among the pair shards, the last few kept decoded."""
    records = cache.pair_records
    return functools.lru_cache(maxsize=SHARDS_HELD)(lambda place: cache.read(records[place]))


def _gather(cache: Cache, read: Any, numbers: Rows) -> dict[str, npt.NDArray[Any]]:
    """The columns' values at row numbers of any order, each shard read once."""
    starts = np.array([record.start for record in cache.pair_records], np.int64)
    places = np.searchsorted(starts, numbers, side="right") - 1
    by_place = np.argsort(places, kind="stable")
    parts: dict[str, list[npt.NDArray[Any]]] = {"left": [], "right": [], "lam": [], "logits": []}
    for place in np.unique(places):
        columns = read(int(place))
        inside = numbers[places == place] - starts[place]
        for name, values in parts.items():
            values.append(columns[name][inside])
    back = np.argsort(by_place, kind="stable")
    return {name: np.concatenate(values)[back] for name, values in parts.items()}


def _same_pairs(left: dict[str, npt.NDArray[Any]], right: dict[str, npt.NDArray[Any]]) -> bool:
    """Equal integers, and lam as equal as two machines compute it (2 units in the last place)."""
    return all(np.array_equal(left[name], right[name]) for name in ("left", "right")) and (
        np.allclose(left["lam"], right["lam"], rtol=2.5e-7, atol=1e-38)
    )


def _no_pairs(source: Source) -> PairTable:
    nothing = np.empty(0, np.uint32)
    logits = np.empty((0, source.teacher.shape[1]), np.float32)
    return PairTable(nothing, nothing, np.empty(0, np.float32), logits)
