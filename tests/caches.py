"""The one place where tests put a cache's identity, header and job together.

    made = job(root, {"train": ..., "validation": ...}, label_names=("no", "yes"), pairs=40)
    build_sealed(made, score)

Torch-free. Who calls it brings examples and a teacher: `tests/numpy_caches.py` synthetic ones and a
formula, `tests/goldens/make.py` those of the golden caches, `tests/student_train/caches.py` text
and a real tiny model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixkd.shared.cache.header import CacheFile, Identity, Split
from mixkd.shared.cache.sealing import seal
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.teacher_cache.build import Job, Logits, Score, build

FORMATS = ("arrow", "hdf5")
SHARD_ROWS = 16
FILES = {
    "tokenizer/tokenizer.json": b"{}\n",
    "student_init/1-layers/config.json": b"{}\n",
}
NO_TORCH = {"torch": "none", "transformers": "none", "device": "cpu", "dtype": "float32"}


def identity(examples: Mapping[str, Examples], classes: int = 2, **changes: Any) -> Identity:
    """The identity of these splits; `changes` are fields of it. One class: regression."""
    fields: dict[str, Any] = {
        "problem_type": REGRESSION if classes == 1 else CLASSIFICATION,
        "label_names": ("score",) if classes == 1 else tuple(f"class {c}" for c in range(classes)),
        "splits": tuple(split(name, rows) for name, rows in examples.items()),
        "teacher_sha256": "1" * 64,
        "teacher_columns": tuple(range(classes)),
        "max_length": 12,
        "beta": 0.4,
        "mask": "union",
        "seed": 0,
        "logits_dtype": "float32",
    }
    return Identity(**{**fields, **changes})


def split(name: str, rows: Examples) -> Split:
    """A split as the identity has it; the examples still have their texts."""
    texts_sha256 = rows.texts_sha256()
    if texts_sha256 is None:
        raise ValueError(f"{name}: expected examples with texts")
    return Split(name, len(rows), texts_sha256, rows.ids_sha256())


def header(
    identity: Identity,
    *,
    shard_rows: int = SHARD_ROWS,
    shard_format: str = "arrow",
    metric: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> CacheFile:
    """What `cache.json` says; without `metric`, the usual one of the problem type."""
    usual = "pearson" if identity.problem_type == REGRESSION else "accuracy"
    settings = {"metric": metric or usual, "shard_format": shard_format}
    return CacheFile(identity, shard_rows, {**(about or {"task": "synthetic"}), **settings})


def job(
    root: Path,
    examples: Mapping[str, Examples],
    *,
    classes: int = 2,
    pairs: int = 40,
    shard_format: str = "arrow",
    shard_rows: int = SHARD_ROWS,
    metric: str | None = None,
    about: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] = FILES,
    keep_texts: bool = True,
    batch_tokens: int = 64,
    pad_id: int = 0,
    made: Mapping[str, Any] = NO_TORCH,
    **changes: Any,
) -> Job:
    """A build of these examples, train first.

    Args:
        files: Name -> content of what lies under `tokenizer/` and `student_init/`.
        keep_texts: False leaves the texts out of the cache, as `--no-text` does.
        made: torch, transformers, device and dtype, for the records.
        changes: Fields of the identity.
    """
    stored = dict(examples)
    if not keep_texts:
        stored = {
            name: dataclasses.replace(rows, text_a=None, text_b=None)
            for name, rows in examples.items()
        }
    return Job(
        root=root,
        file=header(
            identity(examples, classes, **changes),
            shard_rows=shard_rows,
            shard_format=shard_format,
            metric=metric,
            about=about,
        ),
        examples=stored,
        files=dict(files),
        pairs=pairs,
        batch_tokens=batch_tokens,
        pad_id=pad_id,
        made=dict(made),
    )


def build_sealed(made: Job, score: Score) -> Path:
    """Build and seal; a longer cache than is there extends it."""
    build(made, score, accept)
    seal(made.root)
    return made.root


def accept(logits: dict[str, Logits]) -> None:
    """A gate that lets every teacher pass."""
