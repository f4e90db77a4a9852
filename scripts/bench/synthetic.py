"""Caches of any length in seconds, sealed and valid, without a teacher.

    python -m scripts.bench.synthetic FOLDER PAIRS [SHARD_FORMAT [SHARD_ROWS]]

The teacher is a table: an example's two logits are words of its number, and a mix's are the
weighted mean of its sides'. So `expected` tells any row's logits. Shards are written as they are
published, but not synced.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixkd.shared.cache import codecs as shards
from mixkd.shared.cache.codecs.base import Columns
from mixkd.shared.cache.header import CacheFile, Identity, Split
from mixkd.shared.cache.reader import original_keys
from mixkd.shared.cache.seal import KINDS, Record, shard_name
from mixkd.shared.cache.writer import create_cache
from mixkd.shared.examples import Examples, Ragged, texts_sha256
from mixkd.shared.json_values import sha256_hex
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.shared.plan import gaps, pairs
from mixkd.shared.random import philox_words
from tests.caches import seal

TRAIN, VALIDATION = 60_000, 1_000
CLASSES = 2
MADE = {"torch": "none", "transformers": "none", "device": "cpu", "dtype": "float32"}
FILES = {"tokenizer/tokenizer.json": b"{}\n", "student_init/1-layers/config.json": b"{}\n"}

Logits = npt.NDArray[np.float32]


def table(split: int, rows: int) -> Logits:
    """The teacher's logits on a split's examples, in [-1, 1): float32 [rows, C]."""
    numbers = philox_words(split, 0, rows * CLASSES, stream=101) >> np.uint64(40)
    return (numbers.astype(np.float32) / 2**23 - 1).reshape(rows, CLASSES)


def expected(teacher: Logits, columns: Columns) -> Logits:
    """The logits of pairs: float32 [n, C]."""
    lam = columns["lam"][:, None]
    return lam * teacher[columns["left"]] + (1 - lam) * teacher[columns["right"]]


def build(
    root: Path, pairs: int, shard_format: str = "arrow", shard_rows: int = 4096, train: int = TRAIN
) -> Path:
    """Build and seal a cache of `pairs` pairs."""
    splits = {"train": _examples(0, train), "validation": _examples(1, VALIDATION)}
    file = CacheFile(_identity(splits), shard_rows, {"shard_format": shard_format})
    create_cache(root, file, splits, FILES)
    for folder in ("data", "commits"):
        (root / folder).mkdir()
    teachers = [table(0, train), table(1, VALIDATION)]
    for kind, rows in zip(KINDS, (train + VALIDATION, pairs), strict=True):
        for start, stop in gaps([], rows, shard_rows):
            _write(root, file, kind, start, _columns(file.identity, kind, start, stop, teachers))
    seal(root)
    return root


def _columns(
    identity: Identity, kind: str, start: int, stop: int, teachers: list[Logits]
) -> Columns:
    if kind == "originals":
        keys = original_keys(identity, start, stop)
        return {**keys, "logits": np.concatenate(teachers)[start:stop]}
    rows = pairs(start, stop, examples=identity.n_train, seed=0, beta=identity.mixup.beta)
    keys = {"left": rows.left, "right": rows.right, "lam": rows.lam}
    return {**keys, "logits": expected(teachers[0], keys)}


def _write(root: Path, file: CacheFile, kind: str, start: int, columns: Columns) -> None:
    layout = file.identity.layout(kind, start, start + len(columns["logits"]))
    shard_format = str(file.about["shard_format"])
    data = shards.encode(shard_format, layout, columns)
    digest = sha256_hex(data)
    name = shard_name(kind, start, digest, shards.SUFFIXES[shard_format])
    record = Record(layout.fingerprint, kind, start, layout.stop, name, len(data), digest, MADE)
    (root / name).write_bytes(data)
    (root / record.name).write_bytes(record.to_bytes())


def _examples(split: int, rows: int) -> Examples:
    """8 to 23 ids each, and the class that the teacher says."""
    lengths = 8 + (philox_words(split, 1, rows, stream=101) % np.uint64(16)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = (philox_words(split, 2, int(offsets[-1]), stream=101) % np.uint64(1000)).astype(np.int32)
    return Examples(Ragged(ids, offsets), None, table(split, rows).argmax(axis=1))


def _identity(splits: dict[str, Examples]) -> Identity:
    return Identity(
        problem_type=CLASSIFICATION,
        label_names=("no", "yes"),
        splits=tuple(
            Split(name, len(rows), texts_sha256((), []), rows.ids_sha256())
            for name, rows in splits.items()
        ),
        teacher_sha256="5" * 64,
        teacher_columns=(0, 1),
        max_length=24,
        beta=0.4,
        mask="union",
        seed=0,
        logits_dtype="float32",
    )


if __name__ == "__main__":
    folder, count, *more = sys.argv[1:]
    build(Path(folder), int(count), *more[:1], *map(int, more[1:]))
