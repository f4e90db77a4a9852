"""What training shares, be it a teacher's fine-tuning or a student's: groups, rate and batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Indices, Logits
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch
from mixkd.shared.options import Scheduler

Lengths = npt.NDArray[np.int64]
# Batches are cut from so many batches' worth of shuffled rows, sorted by length, as the Trainer of
# transformers does.
BATCHES_SORTED_TOGETHER = 50
SCORED_AT_ONCE = 64


def parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Group trained parameters for AdamW: biases and norms, which are vectors, are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def learning_rate(
    peak: float, step: int, steps: int, warmup: float, scheduler: Scheduler = "linear"
) -> float:
    """Compute the rate of step 0 <= `step` < `steps`: a linear rise, then what `scheduler` says.

    As in `transformers.get_scheduler`, but for the first step of the rise, whose rate is not 0:
    linear and cosine fall to 0, constant_with_warmup stays, and constant does not even rise.

    Args:
        warmup: The share of the steps in which the rate rises to its peak.
    """
    rise = max(1, round(warmup * steps)) if warmup and scheduler != "constant" else 0
    if step < rise:
        return peak * (step + 1) / rise
    if scheduler.startswith("constant"):
        return peak
    left = (steps - step) / max(1, steps - rise)
    return peak * left if scheduler == "linear" else peak * (1 - math.cos(math.pi * left)) / 2


def shuffled_batches(lengths: Lengths, batch_size: int, seed: int, epoch: int) -> list[Indices]:
    """Cut all rows into batches of similar length, in random order; a function of (seed, epoch).

    Args:
        lengths: Of the rows, int64 [n].

    Returns:
        Row numbers, int64 [batch_size] each, the last one of each sorted stretch shorter.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(lengths))  # [n]
    together = batch_size * BATCHES_SORTED_TOGETHER
    batches = []
    for start in range(0, len(shuffled), together):
        rows = shuffled[start : start + together]
        batches += [rows[batch] for batch in sorted_batches(lengths[rows], batch_size)]
    return [batches[number] for number in random.permutation(len(batches))]


def sorted_batches(lengths: Lengths, batch_size: int) -> list[Indices]:
    """Cut all rows into batches of similar length, from the shortest row to the longest."""
    by_length = np.argsort(lengths, kind="stable")  # [n]
    return [by_length[at : at + batch_size] for at in range(0, len(by_length), batch_size)]


def scored_at_once(batch_size: int) -> int:
    """Return the rows to score at once: those that fit where a step fits, 64 at most.

    A step of a student has about as many mixes as originals, and keeps gradients; so whoever runs
    out of memory can lower `--batch-size` in any case.
    """
    return min(SCORED_AT_ONCE, 2 * batch_size)


def predictions(
    score: Callable[[MixBatch], Logits],
    examples: Examples,
    pad_id: int,
    classes: int,
    rank: int = 0,
    world: int = 1,
    at_once: int = SCORED_AT_ONCE,
) -> Logits:
    """Compute the logits of a split, float32 [n, C]; 0 in the rows of other processes.

    Args:
        score: A batch of originals -> logits, float32 [B, C].
        rank, world: This process among all; each takes every `world`-th batch.
        at_once: Rows of a batch, at most.
    """
    logits = np.zeros((len(examples), classes), np.float32)  # [n, C]
    for rows in sorted_batches(examples.lengths, at_once)[rank::world]:
        logits[rows] = score(examples.originals(rows, pad_id))  # [B, C]
    return logits


def counted(
    score: Callable[[MixBatch], Logits], step: Callable[[int], None]
) -> Callable[[MixBatch], Logits]:
    """Let `score` report the rows of each batch, for a bar."""

    def scored(batch: MixBatch) -> Logits:
        logits = score(batch)  # [B, C]
        step(len(logits))
        return logits

    return scored
