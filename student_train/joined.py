"""Several caches as one: their pairs compared, their raw logits averaged."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Indices
from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DifferentCacheError
from mixkd.shared.pairs import PairTable

Float = npt.NDArray[np.float32]
Columns = dict[str, npt.NDArray[Any]]
SHARDS_HELD = 4


class JoinedPairs:
    """The pairs of one cache, or of several with the same rows, whose raw logits are averaged.

    A few decoded shards are held at a time, whatever the size of the cache.
    """

    def __init__(self, caches: Sequence[Cache]) -> None:
        self.caches = caches
        self.shards = tuple((record.start, record.stop) for record in caches[0].pair_records)
        self._readers = [_reader(cache) for cache in caches]

    def __len__(self) -> int:
        return self.shards[-1][1] if self.shards else 0

    def rows(self, numbers: Indices) -> PairTable:
        """Return the pairs of these row numbers, in their order.

        Raises:
            DifferentCacheError: If the caches' rows are not the same.
        """
        tables = [
            _gather(cache, read, numbers)
            for cache, read in zip(self.caches, self._readers, strict=True)
        ]
        first, *others = tables
        for cache, other in zip(self.caches[1:], others, strict=True):
            if not _same_pairs(first, other):
                raise different(cache, "the same pairs as the first cache", "different pairs")
        logits = mean([table["logits"] for table in tables])  # [n, C]
        return PairTable(first["left"], first["right"], first["lam"], logits)


def mean(logits: Sequence[npt.NDArray[Any]]) -> Float:
    """Return the teachers' mean raw logits, float32 [n, C]."""
    return np.asarray(np.mean(logits, axis=0, dtype=np.float64), np.float32)  # [n, C]


def teacher_logits(caches: Sequence[Cache]) -> dict[str, Float]:
    """Return the teachers' mean raw logits on the examples of each split, float32 [n, C]."""
    return {split: mean([cache.logits(split) for cache in caches]) for split in caches[0].splits}


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


def different(cache: Cache, expected: str, found: object) -> DifferentCacheError:
    """Return the error for a cache that cannot be averaged with the first."""
    return DifferentCacheError(
        cache.root,
        expected=expected,
        found=found,
        do="average only caches built from the same data with the same --pairs, --seed and --beta",
    )


def _comparable(cache: Cache) -> dict[str, Any]:
    """Collect what must be equal: texts, since teachers may differ in their tokenizers."""
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
    """Make a function from a position among the pair shards to columns; it keeps a few."""
    records = cache.pair_records
    return functools.lru_cache(maxsize=SHARDS_HELD)(lambda position: cache.read(records[position]))


def _gather(cache: Cache, read: Callable[[int], Columns], numbers: Indices) -> Columns:
    """Return the columns' values at row numbers in any order, each shard read once."""
    starts = np.array([record.start for record in cache.pair_records], np.int64)  # [shards]
    shards = np.searchsorted(starts, numbers, side="right") - 1  # [n]
    by_shard = np.argsort(shards, kind="stable")  # [n]
    parts: dict[str, list[npt.NDArray[Any]]] = {"left": [], "right": [], "lam": [], "logits": []}
    for shard in np.unique(shards):
        columns = read(int(shard))
        positions = numbers[shards == shard] - starts[shard]
        for name, values in parts.items():
            values.append(columns[name][positions])
    back = np.argsort(by_shard, kind="stable")  # [n]
    return {name: np.concatenate(values)[back] for name, values in parts.items()}


def _same_pairs(left: Columns, right: Columns) -> bool:
    """Compare integers exactly, lam as two machines compute it (2 units in the last place)."""
    return all(np.array_equal(left[name], right[name]) for name in ("left", "right")) and (
        np.allclose(left["lam"], right["lam"], rtol=2.5e-7, atol=1e-38)
    )
