"""Makes the golden caches of format 1: torch-free, from numbers that any reader can recompute.

    python -m tests.goldens.make FOLDER

The caches in this folder were made once and are never made again: they show that what was written
then is still read. A new format version gets a cache of its own beside them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.mixup import MixBatch
from tests import caches
from tests.caches import FORMATS, Job

PAIRS = 40
SHARD_ROWS = 16


def score(batch: MixBatch) -> npt.NDArray[np.float32]:
    """Three logits that say the mean id of both sides, weighted by lam."""
    means = [
        (ids * mask).sum(axis=1) / mask.sum(axis=1)
        for ids, mask in ((batch.left_ids, batch.left_mask), (batch.right_ids, batch.right_mask))
    ]
    mixed = batch.lam * means[0] + (1 - batch.lam) * means[1]
    return np.stack([mixed - 10, 10 - mixed, 0 * mixed], axis=1).astype(np.float32)


def examples(rows: int, seed: int) -> Examples:
    """Examples of 2 to 6 ids below 20, two texts each, labels 0 to 2."""
    words = np.random.Philox(key=[seed, 0]).random_raw(rows * 7).reshape(rows, 7)
    ids = [[int(w % 20) for w in row[1 : 3 + int(row[0] % 5)]] for row in words]
    types = [[0] * (len(row) - 1) + [1] for row in ids]
    labels = np.array([sum(row) * 3 // (20 * len(row)) for row in ids], np.int64)
    return Examples(
        Ragged.from_rows(ids, np.int32),
        Ragged.from_rows(types, np.int8),
        labels,
        pa.array([f"left {row}" for row in range(rows)]),
        pa.array([f"right {row} é" for row in range(rows)]),
    )


def job(root: Path, shard_format: str, pairs: int = PAIRS, **changes: Any) -> Job:
    train = examples(20, 1)
    some = np.where(np.arange(20) % 5 == 4, -1, train.labels)  # four rows without a label
    return caches.job(
        root,
        {"train": replace(train, labels=some), "validation": examples(8, 2)},
        classes=3,
        pairs=pairs,
        shard_format=shard_format,
        shard_rows=SHARD_ROWS,
        about={"task": "golden"},
        label_names=("low", "middle", "high"),
        teacher_sha256="0123456789abcdef" * 4,
        teacher_columns=(2, 0, 1),
        max_length=6,
        **changes,
    )


def make(root: Path, shard_format: str, pairs: int = PAIRS) -> Path:
    """Build and seal one."""
    return caches.build_sealed(job(root, shard_format, pairs), score)


if __name__ == "__main__":
    for name in FORMATS:
        make(Path(sys.argv[1]) / f"format-1-{name}", name)
