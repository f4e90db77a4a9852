"""The estimate before a pass: what it says, and what it asks of the device for it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mixkd.shared.examples import Examples, Ragged
from mixkd.teacher_cache.estimate import log_estimate
from mixkd.teacher_cache.scoring import Scorer
from tests import caches

BUDGET = 5000


def test_its_batch_keeps_to_the_budget(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def split(rows: int) -> Examples:
        lengths = np.random.default_rng(0).choice([10, 100], rows, p=[0.8, 0.2])
        ids = Ragged.from_rows([[5] * int(length) for length in lengths], np.int32)
        return Examples(ids, None, np.arange(rows) % 2, text_a=pa.array(["…"] * rows))

    examples = {"train": split(200), "validation": split(20)}
    job = caches.job(tmp_path / "cache", examples, pairs=100)
    sizes: list[int] = []

    def score(batch: Any) -> Any:
        sizes.append(batch.left_ids.size)
        return np.zeros((len(batch.lam), 2), np.float32)

    with caplog.at_level(logging.INFO):
        log_estimate(job.target, Scorer(score, 0, BUDGET, caches.NO_TORCH), 300, 70_894_170)
    assert len(sizes) == 2
    assert 0 < sizes[0] <= BUDGET
    assert "to do: 300 rows, about 5.9 KiB of shards and 67.6 MiB of starting points" in caplog.text
