"""The heart of a build: plan -> mixes -> teacher -> the rows of one shard. It knows no torch.

A shard is the unit of computing. Its rows are batched by length under a token budget within the
shard, so its bytes depend on its rows, the budget and the hardware, never on what was done before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mixkd.shared import plan
from mixkd.shared.arrays import Logits, RowRange
from mixkd.shared.cache.codecs.base import Columns, KindName
from mixkd.shared.cache.folder import original_keys
from mixkd.shared.cache.header import Identity
from mixkd.shared.cache.records import Made
from mixkd.shared.cache.rows import rows_by_split
from mixkd.shared.errors import LogitsError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch
from mixkd.shared.pairs import PairTable

Step = Callable[[int], None]


class LogitsOfRows(Protocol):
    """Whatever has the logits of a shard's rows: a teacher, or a table of given ones."""

    @property
    def made(self) -> Made:
        """What computes, for the records."""

    def rows(
        self, identity: Identity, examples: dict[str, Examples], keys: Columns, step: Step
    ) -> Logits:
        """Return the logits of the rows with these key columns, float32 [rows, C].

        Args:
            examples: Split name -> examples.
            step: Is told how many rows were scored since it was called last.
        """


@dataclass(frozen=True, slots=True)
class Scorer:
    """A teacher, as far as a build needs it.

    Attributes:
        score: A batch of B mixes -> the teacher's raw logits, float32 [B, C].
        pad_id: The teacher's.
        batch_tokens: Budget of a batch: rows x positions.
        made: What computes, for the records.
    """

    score: Callable[[MixBatch], Logits]
    pad_id: int
    batch_tokens: int
    made: Made

    def rows(
        self, identity: Identity, examples: dict[str, Examples], keys: Columns, step: Step
    ) -> Logits:
        """Score the rows in batches of similar length; see `LogitsOfRows`."""
        logits = np.empty((len(next(iter(keys.values()))), identity.classes), np.float32)
        for group in rows_by_split(identity, keys):
            split = examples[group.split]
            for batch in batches_by_length(split, group.pairs, self.batch_tokens):
                mixes = split.mixes(group.pairs[batch], self.pad_id)
                logits[group.positions[batch]] = self.score(mixes)  # [B, C]
                step(len(batch))
        return logits


def score_shard(
    identity: Identity,
    examples: dict[str, Examples],
    scorer: LogitsOfRows,
    kind: KindName,
    rows: RowRange,
    step: Step = lambda count: None,
) -> Columns:
    """Compute the columns of one shard: its rows from the plan, their logits from the teacher.

    Args:
        examples: Split name -> examples.
        kind: "originals" or "pairs".
        rows: [start, stop).
        step: Is told how many rows were scored since it was called last.

    Raises:
        LogitsError: If a logit is NaN or infinite, in the cache's dtype too.
    """
    keys = planned_columns(identity, kind, *rows)
    logits = scorer.rows(identity, examples, keys, step)  # [rows, C]
    with np.errstate(over="ignore"):  # what becomes infinite is named below
        stored = logits.astype(identity.logits_dtype)  # [rows, C]
    _check_finite(identity, kind, rows[0], {**keys, "logits": stored})
    return {**keys, "logits": stored}


def planned_columns(identity: Identity, kind: KindName, start: int, stop: int) -> Columns:
    """Return the key columns of rows [start, stop) of a kind, as the plan has them."""
    if kind == "originals":
        return original_keys(identity, start, stop)
    mixup = identity.mixup
    pairs = plan.pairs(start, stop, examples=identity.n_train, seed=mixup.seed, beta=mixup.beta)
    return {"left": pairs.left, "right": pairs.right, "lam": pairs.lam}


def batches_by_length(
    examples: Examples, pairs: PairTable, batch_tokens: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Give positions of rows, grouped by the longer side, within `batch_tokens` per batch."""
    widths = np.maximum(examples.lengths[pairs.left], examples.lengths[pairs.right])  # [n]
    by_width = np.argsort(widths, kind="stable")
    begin = 0
    for end in range(1, len(by_width) + 1):
        full = end < len(by_width) and (end + 1 - begin) * widths[by_width[end]] > batch_tokens
        if full or end == len(by_width):
            yield by_width[begin:end]
            begin = end


def _check_finite(identity: Identity, kind: KindName, start: int, columns: Columns) -> None:
    bad = np.flatnonzero(~np.isfinite(columns["logits"]).all(axis=1))
    if len(bad):
        keys = [name for name in columns if name != "logits"]
        named = ", ".join(
            f"row {start + row} ({', '.join(f'{key} {columns[key][row]}' for key in keys)})"
            for row in bad[:3]
        )
        narrow = identity.logits_dtype == "float16"
        remedy = "--logits-dtype float32 and " if narrow else ""
        raise LogitsError(
            "the teacher",
            expected=f"finite {identity.logits_dtype} logits from the teacher",
            found=f"NaN or infinity in {len(bad)} {kind}: {named}",
            do=f"try {remedy}--dtype float32, or another teacher; nothing of this shard was stored",
        )
