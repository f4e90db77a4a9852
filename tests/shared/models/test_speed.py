"""Speed is measured on batches and on single examples, and ends by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.models import speed
from mixkd.shared.models.speed import measure

CPU = torch.device("cpu")


class Slow(torch.nn.Module):
    """A student of six weights whose clock moves by 10 ms per row and 1 ms per call."""

    pad_id = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3, 2))
        self.now = 0.0
        self.sizes: list[int] = []

    def from_ids(self, batch: Any) -> torch.Tensor:
        assert not self.training and torch.is_inference_mode_enabled()
        rows = len(batch.left_ids)
        self.sizes.append(rows)
        self.now += 0.001 + 0.01 * rows
        return torch.zeros(rows, 2)


def examples(rows: int) -> Examples:
    lengths = np.random.default_rng(0).integers(1, 9, rows)
    ids = Ragged.from_rows([[1] * length for length in lengths], np.int32)
    return Examples(ids, None, np.zeros(rows, np.int64))


@pytest.mark.parametrize("rows", [1, 40, 5000])
def test_rate_latency_and_size(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    student = Slow()
    monkeypatch.setattr(speed.time, "perf_counter", lambda: student.now)
    found = measure(student, examples(rows), CPU, at_once=8)
    assert found.latency_ms == pytest.approx(11)
    at_once = min(rows, 8)
    assert found.examples_per_second == pytest.approx(at_once / (0.001 + 0.01 * at_once), rel=0.01)
    assert found.parameters == 6 and found.size_mb == 0.0
    assert max(student.sizes) == at_once
    assert student.now < 2.4, "a second of each, the first call and a last batch"
