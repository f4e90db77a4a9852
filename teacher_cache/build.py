"""The pass: what is missing of a target -> scored shards -> commits. It knows no torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixkd.shared import plan
from mixkd.shared.arrays import Logits, RowRange
from mixkd.shared.cache.codecs.base import Columns, KindName
from mixkd.shared.cache.committer import Committer
from mixkd.shared.cache.header import Draft, Identity
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.examples import Examples
from mixkd.shared.progress import ShowProgress, now, progress
from mixkd.teacher_cache.scoring import LogitsOfRows, score_shard
from mixkd.teacher_cache.walk import OvertakenError, Walk


@dataclass(frozen=True, slots=True)
class Target:
    """What a build is to reach: everything that is known without a teacher.

    Attributes:
        root: The cache's folder.
        draft: What `cache.json` says or will say.
        examples: Split name -> examples, train first, in the identity's order.
        pairs: How many pairs are wanted.
    """

    root: Path
    draft: Draft
    examples: dict[str, Examples]
    pairs: int

    @property
    def identity(self) -> Identity:
        """What the cache is a cache of."""
        return self.draft.identity

    @property
    def wanted(self) -> dict[KindName, int]:
        """How many rows of each kind are wanted."""
        return {"originals": self.identity.n_originals, "pairs": self.pairs}


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did.

    Attributes:
        rows: Rows computed and committed.
        rows_lost: Rows computed that another builder committed first.
        complete: Whether all that was asked for exists now.
    """

    rows: int
    rows_lost: int
    seconds: float
    complete: bool


def build(
    target: Target,
    scorer: LogitsOfRows,
    writer: CacheWriter,
    deadline: float = float("inf"),
    scored: dict[RowRange, Columns] | None = None,
    show: ShowProgress = progress,
) -> Built:
    """Compute and commit what is missing.

    Args:
        deadline: `time.monotonic()` after which no further shard is begun.
        scored: Shards of originals that were scored before the cache was created.
        show: Shows the progress.

    Raises:
        DifferentCacheError: If the cache is not of the target's identity, or cut differently.
    """
    writer.check_same(target.draft)
    began = time.monotonic()
    wanted = target.wanted
    complete = True
    with (
        Committer(writer, scorer.made) as committer,
        show(sum(wanted.values()), "teacher", "rows") as bar,
    ):
        for rows, columns in (scored or {}).items():
            committer.put("originals", rows, columns)
        committer.wait()
        walk = Walk(writer, wanted, committer, bar)
        for kind, rows, _ in walk:
            if time.monotonic() >= deadline:
                complete = False
                break
            try:
                columns = score_shard(
                    target.identity, target.examples, scorer, kind, rows, walk.scored
                )
            except OvertakenError:
                continue
            committer.put(kind, rows, columns)
    lost = committer.rows_lost + walk.rows_abandoned
    return Built(committer.rows, lost, time.monotonic() - began, complete)


def create(
    target: Target,
    scorer: LogitsOfRows,
    files: dict[str, bytes],
    accept: Callable[[dict[str, Logits]], None],
    show: ShowProgress = progress,
) -> tuple[CacheWriter, dict[RowRange, Columns]]:
    """Score the validation splits and create the cache if they are good enough.

    Args:
        files: Path -> content of what lies under `tokenizer/` and `student_init/`.
        accept: Is shown the validation logits before anything is published; raises to refuse.
        show: Shows the progress.

    Returns:
        The new cache, and the shards that were scored, for `build` to commit.
    """
    identity = target.identity
    gaps = plan.gaps([], identity.n_originals, target.draft.shard_rows)
    validation = [rows for rows in gaps if rows[1] > identity.n_train]
    scored = {}
    with show(sum(b - a for a, b in validation), "teacher on validation", "rows") as bar:
        for rows in validation:
            scored[rows] = score_shard(identity, target.examples, scorer, "originals", rows, bar)
    now("computing metrics")
    accept(_validation_logits(identity, scored))
    return CacheWriter.create(target.root, target.draft, target.examples, files), scored


def _validation_logits(identity: Identity, scored: dict[RowRange, Columns]) -> dict[str, Logits]:
    splits = np.concatenate([columns["split"] for columns in scored.values()])
    logits = np.concatenate([columns["logits"] for columns in scored.values()])  # [rows, C]
    return {
        split.name: logits[splits == number].astype(np.float32)
        for number, split in enumerate(identity.splits)
        if number > 0
    }
