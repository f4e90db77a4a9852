"""The pass: gaps in the plan -> scored rows -> committed shards. It knows no torch: `score` does.

A shard is the unit of computing. Its rows are batched by length under a token budget within the
shard, so its bytes depend on its rows, the budget and the hardware, never on what was done before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared import plan
from mixkd.shared.cache.header import CacheFile, Identity
from mixkd.shared.cache.layout import Columns
from mixkd.shared.cache.reader import original_keys
from mixkd.shared.cache.rows import rows_by_split
from mixkd.shared.cache.writer import Committer, committed, create_cache, is_committed
from mixkd.shared.errors import LogitsError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch
from mixkd.shared.pairs import PairTable
from mixkd.shared.progress import progress

log = logging.getLogger(__name__)
Logits = npt.NDArray[np.float32]
Score = Callable[[MixBatch], Logits]
Gap = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a build needs but the teacher.

    Attributes:
        root: The cache's folder.
        file: What `cache.json` says.
        examples: Split name -> examples, train first, in the identity's order.
        files: Name -> content of what lies under `tokenizer/` and `student_init/`.
        pairs: How many pairs are wanted.
        batch_tokens: Budget of a batch: rows x positions.
        pad_id: The teacher's.
        made: torch, transformers, device and dtype, for the records.
    """

    root: Path
    file: CacheFile
    examples: dict[str, Examples]
    files: dict[str, bytes]
    pairs: int
    batch_tokens: int
    pad_id: int
    made: dict[str, Any]

    @property
    def identity(self) -> Identity:
        return self.file.identity

    def target(self, kind: str) -> int:
        return self.pairs if kind == "pairs" else self.identity.originals


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did: rows computed and committed, rows another builder was faster with, seconds,
    and whether all that was asked for is there now."""

    rows: int
    rows_lost: int
    seconds: float
    complete: bool


def build(
    job: Job,
    score: Score,
    accept: Callable[[dict[str, Logits]], None],
    deadline: float = float("inf"),
) -> Built:
    """Compute and commit what is missing.

    Args:
        score: A batch -> the teacher's raw logits, float32 [B, C].
        accept: Is shown the validation logits before anything is published, and raises to refuse.
        deadline: `time.monotonic()` after which no further shard is begun.
    """
    began = time.monotonic()
    held: dict[Gap, Columns] = {}
    if not (job.root / "cache.json").exists():
        held = {gap: _columns(job, "originals", gap, score) for gap in _validation_gaps(job)}
        accept(_validation_logits(job.identity, held))
        create_cache(job.root, job.file, job.examples, job.files)
    with Committer(job.root, job.file, job.made) as committer:
        for gap, columns in held.items():
            committer.put("originals", gap, columns)
        committer.wait()
        complete = all(
            _fill(job, kind, score, committer, deadline) for kind in ("originals", "pairs")
        )
    seconds = time.monotonic() - began
    return Built(committer.rows, committer.rows_lost, seconds, complete)


def missing_rows(job: Job) -> int:
    return sum(
        stop - start
        for kind in ("originals", "pairs")
        for start, stop in plan.gaps(
            committed(job.root, kind, job.identity),
            job.target(kind),
            job.file.shard_rows,
        )
    )


def _fill(job: Job, kind: str, score: Score, committer: Committer, deadline: float) -> bool:
    """Compute a kind's missing shards; False if the deadline came first."""
    with progress(job.target(kind), f"teacher, {kind}", "rows") as step:
        step(job.target(kind) - _rows(_gaps(job, kind)))
        for gap in _walk(job, kind, committer):
            if time.monotonic() >= deadline:
                return False
            committer.put(kind, gap, _columns(job, kind, gap, score, step))
    return True


def _walk(job: Job, kind: str, committer: Committer) -> Iterator[Gap]:
    """The missing shards, in order until another builder is met, then in an order of its own.

    Without locks, builders that walk alike would compute alike. Nothing is assumed about the
    others: after each round the records are looked at again, until no gap is left.
    """
    shuffled = np.random.default_rng()  # of no consequence for any byte: only who computes what
    while gaps := _gaps(job, kind):
        if committer.met_others:
            shuffled.shuffle(gaps)
        for gap in gaps:
            if is_committed(job.root, kind, gap[0]):
                committer.met_others = True
                break
            yield gap
        committer.wait()


def _gaps(job: Job, kind: str) -> list[Gap]:
    ranges = committed(job.root, kind, job.identity)
    return plan.gaps(ranges, job.target(kind), job.file.shard_rows)


def _rows(gaps: list[Gap]) -> int:
    return sum(stop - start for start, stop in gaps)


def _validation_gaps(job: Job) -> list[Gap]:
    """The shards of originals that hold validation rows."""
    gaps = plan.gaps([], job.identity.originals, job.file.shard_rows)
    return [gap for gap in gaps if gap[1] > job.identity.train_rows]


def _validation_logits(identity: Identity, held: dict[Gap, Columns]) -> dict[str, Logits]:
    splits = np.concatenate([columns["split"] for columns in held.values()])
    logits = np.concatenate([columns["logits"] for columns in held.values()])
    return {
        split.name: logits[splits == number].astype(np.float32)
        for number, split in enumerate(identity.splits)
        if number > 0
    }


def planned_columns(identity: Identity, kind: str, start: int, stop: int) -> Columns:
    """Return the key columns of rows [start, stop) of a kind, as the plan has them."""
    if kind == "originals":
        return original_keys(identity, start, stop)
    pairs = plan.pairs(
        start, stop, examples=identity.train_rows, seed=identity.seed, beta=identity.beta
    )
    return {"left": pairs.left, "right": pairs.right, "lam": pairs.lam}


def _columns(
    job: Job,
    kind: str,
    gap: Gap,
    score: Score,
    step: Callable[[int], None] = lambda rows: None,
) -> Columns:
    """The columns of one shard: its rows from the plan, their logits from `score`."""
    identity = job.identity
    keys = planned_columns(identity, kind, *gap)
    logits = np.empty((gap[1] - gap[0], identity.classes), np.float32)  # [rows, C]
    for group in rows_by_split(identity, keys):
        examples = job.examples[group.split]
        for rows in _batches(examples, group.pairs, job.batch_tokens):
            logits[group.positions[rows]] = score(examples.mixes(group.pairs[rows], job.pad_id))
            step(len(rows))
    with np.errstate(over="ignore"):  # what becomes infinite is named below
        stored = logits.astype(identity.logits_dtype)
    _check_finite(job, kind, gap, stored, keys)
    return {**keys, "logits": stored}


def _batches(
    examples: Examples, pairs: PairTable, batch_tokens: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of rows, grouped by the longer side's length, within `batch_tokens` per batch."""
    widths = np.maximum(examples.lengths[pairs.left], examples.lengths[pairs.right])
    by_width = np.argsort(widths, kind="stable")
    begin = 0
    for end in range(1, len(by_width) + 1):
        full = end < len(by_width) and (end + 1 - begin) * widths[by_width[end]] > batch_tokens
        if full or end == len(by_width):
            yield by_width[begin:end]
            begin = end


def _check_finite(job: Job, kind: str, gap: Gap, logits: Any, keys: Columns) -> None:
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        named = ", ".join(
            f"row {gap[0] + row} ({', '.join(f'{key} {keys[key][row]}' for key in keys)})"
            for row in bad[:3]
        )
        narrow = job.identity.logits_dtype == "float16"
        remedy = "--logits-dtype float32 and " if narrow else ""
        raise LogitsError(
            job.root,
            expected=f"finite {job.identity.logits_dtype} logits from the teacher",
            found=f"NaN or infinity in {len(bad)} {kind}: {named}",
            do=f"try {remedy}--dtype float32, or another teacher; nothing of this shard was stored",
        )
