"""The estimate before a pass: rows, bytes and minutes, from the speed of one batch."""

from __future__ import annotations

import logging
import time

import numpy as np

from mixkd.shared.pairs import PairTable
from mixkd.shared.units import duration, size
from mixkd.teacher_cache.build import Target
from mixkd.teacher_cache.scoring import Scorer, batches_by_length

log = logging.getLogger(__name__)
SAMPLED_PAIRS = 1024
BATCH_ROWS = 256


def log_estimate(target: Target, scorer: Scorer, rows: int, starts_bytes: int = 0) -> None:
    """Log what a pass over so many rows will take, from a batch of mixes of usual lengths.

    Args:
        starts_bytes: The size of the students' starting points, for a new cache.
    """
    train = target.examples["train"]
    left, right = np.random.default_rng(0).integers(0, len(train), (2, SAMPLED_PAIRS))
    widths = np.maximum(train.lengths[left], train.lengths[right])
    usual = np.argsort(widths, kind="stable")[SAMPLED_PAIRS // 2 :]
    chosen = usual[:BATCH_ROWS]
    pairs = PairTable(left[chosen], right[chosen], np.full(len(chosen), 0.5, np.float32))
    first = next(batches_by_length(train, pairs, scorer.batch_tokens))
    batch = train.mixes(pairs[first], scorer.pad_id)
    scorer.score(batch)  # the first batch pays for start-up
    began = time.monotonic()
    scorer.score(batch)
    seconds_per_token = (time.monotonic() - began) / batch.left_ids.size
    expected = rows * float(widths.mean()) * seconds_per_token
    row_bytes = target.identity.layout("pairs", 0, 1).row_bytes
    starts = f" and {size(starts_bytes)} of starting points for students" if starts_bytes else ""
    log.info(
        "to do: %d rows, about %s of shards%s, about %s on %s in %s",
        *(rows, size(rows * row_bytes), starts, duration(expected)),
        *(scorer.made.device, scorer.made.dtype),
    )
