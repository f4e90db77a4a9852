"""Compare stored logits with a teacher's, row by row. Torch-free: the teacher is a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mixkd.shared.arrays import Indices, Logits
from mixkd.shared.cache.claims import Finding
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.rows import rows_by_split
from mixkd.shared.mixup import MixBatch
from mixkd.shared.options import DTYPES, Dtype

ROWS_AT_ONCE = 32
TOLERANCE = 1e-4  # of float32, x max(1, |logit|)
FLOAT16_ROUNDING = 2.0**-10
Score = Callable[[MixBatch, Dtype], Logits]


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows of a shard that are scored again.

    Attributes:
        rows: Their numbers, int64 [n].
        batches: Their mixes, n in all.
        logits: As stored, float32 [n, C].
    """

    rows: Indices
    batches: list[MixBatch]
    logits: Logits

    def scored(self, score: Score, dtype: Dtype) -> Logits:
        """Score the rows again, float32 [n, C]."""
        return np.concatenate([score(batch, dtype) for batch in self.batches])


def rerun(
    cache: Cache, score: Score, pad_id: int, rows: int, differences: Mapping[str, float]
) -> Iterator[Finding]:
    """Score random rows again, in float32: a shard must be within what its number format explains.

    That is 1e-4 x max(1, |logit|), for rows computed in a lower format its difference more, and
    2^-10 |logit| more for logits that are stored in float16.

    Args:
        score: A batch and a number format -> the teacher's raw logits, float32 [B, C].
        rows: How many rows to draw, at most.
        differences: Number format -> how far it may be from float32, in logits.
    """
    n_rows = cache.seal.rows.originals + cache.seal.rows.pairs
    chosen = np.sort(np.random.default_rng().choice(n_rows, min(rows, n_rows), replace=False))
    first = 0
    for record in cache.seal.shards:
        last = first + record.stop - record.start
        positions = chosen[(chosen >= first) & (chosen < last)] - first  # in the shard
        first = last
        if len(positions):
            stored = _stored(cache, record, positions, pad_id)
            allowed = differences.get(record.made.dtype, 0.0)
            yield from _compared(cache, record, stored, score, allowed)


def _compared(
    cache: Cache, record: Record, stored: Stored, score: Score, allowed: float
) -> Iterator[Finding]:
    again = stored.scored(score, "float32")  # [n, C]
    rounding = FLOAT16_ROUNDING if cache.identity.logits_dtype == "float16" else 0.0
    close = TOLERANCE * np.maximum(1, np.abs(again)) + rounding * np.abs(again)  # [n, C]
    distance = np.abs(stored.logits - again)  # [n, C]
    where, recorded = cache.root / record.file, record.made.dtype
    wrong = (distance > close + allowed).any(axis=1)  # [n]
    if wrong.any():
        computed = _computed_in(stored, again, score, recorded)
        worst = int(np.where(wrong, distance.max(axis=1), 0).argmax())
        found = f"logits of {computed}" if computed else "different ones"
        yield Finding(
            "dtype" if computed else "logits",
            f"{where}: expected the teacher's logits within {close[worst].max() + allowed:.2g}, as "
            f"{recorded} gives them, found {found} in {wrong.sum()} of {len(wrong)} rows, "
            f"off by {distance[worst].max():.3g} in row {stored.rows[worst]}; do not use the cache",
        )
    elif recorded in DTYPES and recorded != "float32" and (distance <= close).all():
        lower = np.abs(stored.scored(score, recorded) - again)  # [n, C]
        if np.mean(lower > 4 * close) > 0.5:
            yield Finding(
                "dtype",
                f"{where}: expected logits computed in {recorded} as recorded, found those of "
                "float32; do not rely on its record",
            )


def _computed_in(stored: Stored, again: Logits, score: Score, recorded: str) -> Dtype | None:
    """Find a lower format than the recorded one whose logits are much closer to the stored ones."""
    for dtype in DTYPES:
        if dtype not in ("float32", recorded):
            distance = np.abs(stored.logits - stored.scored(score, dtype)).mean()
            if 2 * distance < np.abs(stored.logits - again).mean():
                return dtype
    return None


def _stored(cache: Cache, record: Record, positions: Indices, pad_id: int) -> Stored:
    """Collect rows of a shard, at these positions in it."""
    columns = {name: values[positions] for name, values in cache.read(record).items()}
    rows, logits, batches = [], [], []
    for group in rows_by_split(cache.identity, columns):
        examples = cache.examples(group.split)
        rows.append(record.start + positions[group.positions])
        logits.append(group.pairs.known_logits.astype(np.float32))
        batches += [
            examples.mixes(group.pairs[begin : begin + ROWS_AT_ONCE], pad_id)
            for begin in range(0, len(group.pairs), ROWS_AT_ONCE)
        ]
    return Stored(np.concatenate(rows), batches, np.concatenate(logits))
