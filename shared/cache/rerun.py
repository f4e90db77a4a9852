"""Compare stored logits with a teacher's, row by row. Torch-free: the teacher is a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Logits
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.rows import rows_by_split
from mixkd.shared.cache.verify import Finding
from mixkd.shared.mixup import MixBatch

ROWS_AT_ONCE = 32
FLOAT16_ROUNDING = 2.0**-10


def rerun(
    cache: Cache,
    score: Callable[[MixBatch], Logits],
    pad_id: int,
    rows: int,
    tolerance: float,
    absolute: float,
) -> list[Finding]:
    """Score random rows again: |stored - rerun| <= tolerance x max(1, |rerun|) + absolute.

    float16 logits may differ by 2^-10 |rerun| more, from rounding.

    Args:
        score: A batch -> the teacher's raw logits, float32 [B, C].
        rows: How many rows to draw, at most.
    """
    n_rows = cache.seal.rows.originals + cache.seal.rows.pairs
    chosen = np.sort(np.random.default_rng().choice(n_rows, min(rows, n_rows), replace=False))
    rounding = FLOAT16_ROUNDING if cache.identity.logits_dtype == "float16" else 0.0
    findings, first = [], 0
    for record in cache.seal.shards:
        last = first + record.stop - record.start
        positions = chosen[(chosen >= first) & (chosen < last)] - first  # in the shard
        first = last
        for row, split, stored, batch in _stored(cache, record, positions, pad_id):
            again = score(batch)  # [B, C]
            allowed = (tolerance * np.maximum(1, np.abs(again)) + absolute) + rounding * np.abs(
                again
            )  # [B, C]
            difference = np.abs(stored - again)  # [B, C]
            for k in np.flatnonzero((difference > allowed).any(axis=1)):
                findings.append(
                    Finding(
                        f"{cache.root / record.file}: expected the teacher's logits within "
                        f"{allowed[k].max():.2g}, found a difference of {difference[k].max():.3g} "
                        f"in row {row[k]} ({split}); this is a different teacher, or the cache is "
                        "wrong"
                    )
                )
    return findings


def _stored(
    cache: Cache, record: Record, positions: npt.NDArray[np.int64], pad_id: int
) -> Iterator[tuple[npt.NDArray[np.int64], str, Logits, MixBatch]]:
    """Give row numbers, split, stored logits float32 [B, C] and mixes of rows of a shard."""
    if not len(positions):
        return
    columns = {name: values[positions] for name, values in cache.read(record).items()}
    for group in rows_by_split(cache.identity, columns):
        examples = cache.examples(group.split)
        for begin in range(0, len(group.pairs), ROWS_AT_ONCE):
            part = slice(begin, begin + ROWS_AT_ONCE)
            rows = record.start + positions[group.positions[part]]  # [B]
            stored = group.pairs.known_logits[part].astype(np.float32)  # [B, C]
            yield rows, group.split, stored, examples.mixes(group.pairs[part], pad_id)
