"""Caches of any length, sealed and valid, without a teacher: a million pairs in seconds.

    python -m scripts.bench.synthetic FOLDER PAIRS [SHARD_FORMAT [SHARD_ROWS]]

The teacher is a table: an example's two logits are words of its number, and a mix's are the
weighted mean of its sides'. So `expected` gives any row's logits. The product plans, commits and
seals; only the syncing of files is left out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.cache.codecs.base import KINDS, Columns, KindName
from mixkd.shared.cache.header import Identity
from mixkd.shared.cache.rows import rows_by_split
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.pairs import PairTable
from mixkd.shared.random import Stream, philox_words
from mixkd.teacher_cache.scoring import planned_columns
from tests import caches

SPLITS = ("train", "validation")
TRAIN, VALIDATION = 60_000, 1_000
CLASSES = 2

Logits = npt.NDArray[np.float32]


def table(split: int, rows: int) -> Logits:
    """The teacher's logits on a split's examples, in [-1, 1): float32 [rows, C]."""
    numbers = philox_words(split, 0, rows * CLASSES, stream=Stream.HELD_OUT) >> np.uint64(40)
    return (numbers.astype(np.float32) / 2**23 - 1).reshape(rows, CLASSES)


def expected(teacher: Logits, pairs: PairTable) -> Logits:
    """The logits of pairs: float32 [n, C]."""
    lam = pairs.lam[:, None]
    return lam * teacher[pairs.left] + (1 - lam) * teacher[pairs.right]


def build(
    root: Path, pairs: int, shard_format: str = "arrow", shard_rows: int = 4096, train: int = TRAIN
) -> Path:
    """Build and seal a cache of `pairs` pairs."""
    examples = {"train": _examples(0, train), "validation": _examples(1, VALIDATION)}
    teachers = {name: table(number, len(examples[name])) for number, name in enumerate(SPLITS)}
    made = caches.job(
        root,
        examples,
        pairs=pairs,
        shard_format=shard_format,
        shard_rows=shard_rows,
        keep_texts=False,
        label_names=("no", "yes"),
        max_length=24,
    )
    with patch.object(os, "fsync", lambda descriptor: None):
        writer = CacheWriter.create(root, made.draft, made.examples, made.files)
        for kind in KINDS:
            for rows in writer.gaps(kind, made.target.wanted[kind]):
                writer.commit(kind, rows, _columns(made.identity, kind, rows, teachers), made.made)
        writer.seal()
    return root


def _columns(
    identity: Identity, kind: KindName, rows: tuple[int, int], teachers: dict[str, Logits]
) -> Columns:
    keys = planned_columns(identity, kind, *rows)
    logits = np.empty((rows[1] - rows[0], CLASSES), np.float32)  # [rows, C]
    for group in rows_by_split(identity, keys):
        logits[group.positions] = expected(teachers[group.split], group.pairs)
    return {**keys, "logits": logits}


def _examples(split: int, rows: int) -> Examples:
    """8 to 23 ids each, an empty text, and the class that the teacher says."""
    lengths = philox_words(split, 1, rows, stream=Stream.HELD_OUT) % np.uint64(16) + np.uint64(8)
    offsets = np.concatenate([[0], np.cumsum(lengths.astype(np.int64))])
    words = philox_words(split, 2, int(offsets[-1]), stream=Stream.HELD_OUT)
    ids = (words % np.uint64(1000)).astype(np.int32)
    texts = pa.array([""] * rows)
    return Examples(Ragged(ids, offsets), None, table(split, rows).argmax(axis=1), texts)


if __name__ == "__main__":
    folder, count, *more = sys.argv[1:]
    build(Path(folder), int(count), *more[:1], *map(int, more[1:]))
