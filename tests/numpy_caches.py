"""Sealed caches in a fraction of a second: synthetic examples, and a teacher that is a formula.

    root = sealed(tmp_path / "cache", shard_format="hdf5", pairs=60)
    build(job(root, pairs=80), Scorer(), accept)

No torch. `score` is a function of a mix's ids and weight alone, whatever it is batched with, so any
stored logit can be computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.arrays import Logits
from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.metrics import MULTI_LABEL
from mixkd.shared.mixup import MixBatch
from mixkd.shared.pairs import PairTable
from mixkd.shared.plan import pairs
from tests import caches
from tests.caches import FORMATS, SHARD_ROWS, Job, accept

__all__ = ["FORMATS", "SHARD_ROWS", "Logits", "accept"]
TRAIN, VALIDATION = 30, 12
VOCABULARY = 100
LONGEST = 12
FILES = {**caches.FILES, "student_init/layers-0-1/config.json": b'{"layers": 2}\n'}


def score(batch: MixBatch, classes: int = 2) -> Logits:
    """Logit c is lam * s(left) + (1 - lam) * s(right), s a sum over tokens that depends on c."""
    sides = [
        np.stack([_sum(ids * mask, c) for c in range(classes)], axis=1)
        for ids, mask in ((batch.left_ids, batch.left_mask), (batch.right_ids, batch.right_mask))
    ]
    lam = batch.lam[:, None].astype(np.float64)
    return (lam * sides[0] + (1 - lam) * sides[1]).astype(np.float32)


def _sum(ids: npt.NDArray[np.int64], c: int) -> npt.NDArray[np.float64]:
    """Exact in float64, so that neither padding nor neighbours change a bit."""
    return ((ids * (c + 3)) % 17 - 8 * (ids > 0)).sum(axis=1).astype(np.float64)


@dataclass
class Scorer:
    """`score` that counts its rows, and does `before` first: raises, waits or damages."""

    classes: int = 2
    before: Callable[[int], None] = lambda batch: None
    batches: int = 0
    rows: int = 0
    change: Callable[[Logits], Logits] = field(default=lambda logits: logits)

    def __call__(self, batch: MixBatch) -> Logits:
        self.before(self.batches)
        self.batches += 1
        self.rows += len(batch.lam)
        return self.change(score(batch, self.classes))


def pair_table(left: npt.ArrayLike, right: npt.ArrayLike, lam: npt.ArrayLike) -> PairTable:
    """Pairs from anything that looks like numbers."""
    return PairTable(np.asarray(left), np.asarray(right), np.asarray(lam, np.float32))


def examples(
    rows: int,
    seed: int = 0,
    classes: int = 2,
    *,
    types: bool = False,
    texts: int = 1,
) -> Examples:
    """Examples of 1 to 12 ids; `classes=1` for float32 labels of regression.

    Raw words of Philox, not `Generator`: the same in every build of NumPy.
    """
    words = np.random.Philox(key=[seed, 77]).random_raw(rows * (LONGEST + 1))
    table = words.reshape(rows, LONGEST + 1)
    ids = [[int(w % VOCABULARY) for w in row[1 : 2 + row[0] % LONGEST]] for row in table]
    columns = [pa.array([f"{c} {row} é" for row in range(rows)]) for c in "ab"[:texts]]
    columns += [None] * (2 - texts)
    return Examples(
        input_ids=Ragged.from_rows(ids, np.int32),
        token_type_ids=Ragged.from_rows([[0] * (len(r) - 1) + [1] for r in ids], np.int8)
        if types
        else None,
        labels=np.arange(rows, dtype=np.float32) / rows
        if classes == 1
        else np.arange(rows) % classes,
        text_a=columns[0],
        text_b=columns[1],
    )


def several_labels(rows: Examples, classes: int, labelled: int | None = None) -> Examples:
    """The same with multi-label targets: row k has the labels of k's binary digits.

    Args:
        labelled: Rows that have labels, the first ones; None: all.
    """
    digits = np.arange(len(rows))[:, None] >> np.arange(classes) & 1  # [n, C]
    digits[len(rows) if labelled is None else labelled :] = -1
    return replace(rows, labels=digits.astype(np.int8))


def job(
    root: Path,
    pairs: int = 40,
    shard_format: str = "arrow",
    classes: int = 2,
    *,
    train: int = TRAIN,
    several: bool = False,
    labelled: int | None = None,
    **changes: Any,
) -> Job:
    """A build of synthetic examples; `changes` as `tests.caches.job` takes them.

    Args:
        several: Multi-label; only then `labelled` counts.
    """
    splits = {
        "train": examples(train, 1, classes),
        "validation": examples(VALIDATION, 2, classes),
    }
    if several:
        splits["train"] = several_labels(splits["train"], classes, labelled)
        splits["validation"] = several_labels(splits["validation"], classes)
        changes["problem_type"] = MULTI_LABEL
    settings = {"files": FILES, "max_length": LONGEST, **changes}
    return caches.job(
        root, splits, classes=classes, pairs=pairs, shard_format=shard_format, **settings
    )


def sealed(
    root: Path, pairs: int = 40, shard_format: str = "arrow", classes: int = 2, **changes: Any
) -> Path:
    """Build and seal a cache of `pairs` pairs; a longer one than is there extends it."""
    return caches.build_sealed(job(root, pairs, shard_format, classes, **changes), Scorer(classes))


def planned(made: Job, start: int, stop: int) -> PairTable:
    """The planned pairs of a job."""
    wanted = made.identity
    return pairs(
        start, stop, examples=wanted.n_train, seed=wanted.mixup.seed, beta=wanted.mixup.beta
    )


def expected_logits(made: Job, start: int, stop: int) -> Logits:
    """The formula on planned pairs, each on its own: float32 [stop - start, C]."""
    rows = planned(made, start, stop)
    train = made.examples["train"]
    return np.concatenate(
        [
            score(train.mixes(pair_table([left], [right], [lam]), 0), made.identity.classes)
            for left, right, lam in zip(rows.left, rows.right, rows.lam, strict=True)
        ]
    )


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a cache."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
