"""Rates and batches against plain versions, for teachers and students."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.mixup import MixBatch
from mixkd.shared.options import SCHEDULERS, Scheduler
from mixkd.shared.training import (
    learning_rate,
    parameter_groups,
    predictions,
    shuffled_batches,
    sorted_batches,
)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 137])
@pytest.mark.parametrize("warmup", [0.0, 0.06, 0.1, 0.5, 1.0])
def test_the_rate_rises_to_its_peak_and_falls_to_nothing(steps: int, warmup: float) -> None:
    rates = [learning_rate(3e-5, step, steps, warmup) for step in range(steps)]
    rise = max(1, round(warmup * steps)) if warmup else 0
    for step, rate in enumerate(rates):
        rising = (step + 1) / rise if rise else 2.0
        falling = (steps - step) / max(1, steps - rise)
        assert rate == pytest.approx(3e-5 * min(rising, falling), rel=1e-15)
    assert max(rates) == pytest.approx(3e-5, rel=1e-15)
    assert rates == sorted(rates[:rise]) + sorted(rates[rise:], reverse=True)
    assert learning_rate(3e-5, steps, steps, warmup) == 0


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_the_schedules_are_those_of_transformers(name: Scheduler, warmup: float) -> None:
    """From the end of the rise on; before it ours is a step ahead, since theirs begins at 0."""
    from transformers import get_scheduler

    steps, rise = 20, round(20 * warmup)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-5)
    theirs = get_scheduler(name, optimizer, num_warmup_steps=rise, num_training_steps=steps)
    for step in range(steps):
        ours = learning_rate(3e-5, step, steps, warmup, name)
        if step >= rise or name == "constant":
            assert ours == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        else:
            assert ours == pytest.approx(3e-5 * (step + 1) / rise)
        optimizer.step()
        theirs.step()


def test_only_matrices_that_are_trained_decay() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2), torch.nn.Linear(2, 2))
    model[2].requires_grad_(False)
    decayed, others = parameter_groups(model, 0.3)
    assert decayed["weight_decay"] == 0.3 and others["weight_decay"] == 0
    assert [p.shape for p in decayed["params"]] == [(2, 3)]
    assert [p.shape for p in others["params"]] == [(2,), (2,), (2,)]
    torch.optim.AdamW([decayed, others])


def test_shuffled_batches_hold_every_row_once_and_rows_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(3, 100, 1000)
    batches = shuffled_batches(lengths, 16, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(1000))
    padded = sum(lengths[rows].max() * len(rows) for rows in batches)
    assert padded < 1.1 * lengths.sum()
    again = shuffled_batches(lengths, 16, seed=1, epoch=0)
    assert all(np.array_equal(*rows) for rows in zip(batches, again, strict=True))
    later = shuffled_batches(lengths, 16, seed=1, epoch=1)
    assert not np.array_equal(np.concatenate(batches), np.concatenate(later))


def test_sorted_batches_go_from_the_shortest_to_the_longest() -> None:
    batches = sorted_batches(np.array([5, 1, 5, 3, 2]), 2)
    assert [rows.tolist() for rows in batches] == [[1, 4], [3, 0], [2]]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_processes_predictions_add_up_to_the_split(world: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 9, 150)
    ids = Ragged.from_rows([[row] * length for row, length in enumerate(lengths)], np.int32)
    examples = Examples(ids, None, np.zeros(150, np.int64))

    def score(batch: MixBatch) -> np.ndarray:
        return np.stack([batch.left_ids[:, 0], -batch.left_ids[:, 0]], axis=1).astype(np.float32)

    parts = [predictions(score, examples, 0, 2, rank, world) for rank in range(world)]
    assert sum(parts).tolist() == [[row, -row] for row in range(150)]
    assert sum((part != 0).any(axis=1).sum() for part in parts) == 149  # row 0 has logits of 0
