"""What a run trains on and with, put together from its options before the first step."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import UsageError
from mixkd.shared.json_values import dumps, sha256_hex
from mixkd.shared.metrics import REGRESSION
from mixkd.student_train.batches import JoinedPairs, Source, mean
from mixkd.student_train.evaluate import Logits
from mixkd.student_train.objective.terms import Objective
from mixkd.student_train.opening import open_caches
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.order import Order
from mixkd.student_train.student import Start, load

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that does not change while a run trains.

    Attributes:
        caches: The first gives examples, labels and tokenizer.
        teacher: Split -> mean raw logits of the caches, float32 [n, C].
        rank, world: This process among all.
        settings: What a resumed run must have in common, as JSON; another device and another
            number of processes may continue it.
    """

    caches: list[Cache]
    teacher: dict[str, Logits]
    start: Start
    source: Source
    order: Order
    objective: Objective
    rank: int
    world: int
    settings: dict[str, Any]

    @property
    def digest(self) -> str:
        return sha256_hex(dumps(self.settings))


def prepare(
    options: TrainOptions,
    accelerator: Accelerator,
    seals: Sequence[str] | None,
    checkpoint: Path | None,
) -> Setup:
    """Open the caches, load the student, and fix order and objective.

    Args:
        seals: What a resumed run reads, from `checkpoint`; None for a new run.

    Raises:
        CacheError: Of a class that names what is wrong.
    """
    caches = open_caches(options.cache, seals, checkpoint)
    objective = _objective(options, caches[0].identity.problem_type == REGRESSION)
    teacher = teacher_logits(caches)
    pairs = JoinedPairs(caches)
    if objective.needs_mixes and not len(pairs):
        raise _no_pairs(caches[0], options.method)
    with accelerator.main_process_first():
        start = load(caches[0], options.student, options.layers, options.seed)
    order = Order(
        examples=len(start.examples["train"]),
        shards=pairs.shards if objective.needs_mixes else (),
        batch_size=options.batch_size,
        mix_ratio=options.mix_ratio,
        seed=options.seed,
    )
    log.info("%s", pairs_used(order, options, len(pairs)))
    return Setup(
        caches=caches,
        teacher=teacher,
        start=start,
        source=Source(
            start.examples["train"],
            teacher["train"],
            pairs,
            objective.regression,
            start.student.pad_id,
        ),
        order=order,
        objective=objective,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        settings=_settings(options, start, caches),
    )


def teacher_logits(caches: Sequence[Cache]) -> dict[str, Logits]:
    """The teachers' mean raw logits on each split's examples, float32 [n, C]."""
    return {split: mean([cache.logits(split) for cache in caches]) for split in caches[0].splits}


def pairs_used(order: Order, options: TrainOptions, available: int) -> str:
    """How many of the cache's pairs a run will use, and what would use them all."""
    if not order.pairs:
        return f"this run uses none of the cache's {available:,} pairs: its objective has no mixes"
    trained = order.pairs_per_epoch * options.epochs
    a_epoch = f"{order.pairs_per_epoch:,} an epoch"
    if trained >= available:
        times = trained / available
        return (
            f"this run uses all of the cache's {available:,} pairs, {times:.1f} times ({a_epoch})"
        )
    epochs = math.ceil(available / order.pairs_per_epoch) if order.pairs_per_epoch else None
    ratio = math.ceil(100 * available / (options.epochs * order.examples)) / 100
    by_epochs = f"--epochs {epochs} or " if epochs else ""
    return (
        f"this run uses {trained:,} of the cache's {available:,} pairs ({a_epoch}); "
        f"{by_epochs}--mix-ratio {ratio:g} would use all"
    )


def _no_pairs(cache: Cache, method: str) -> UsageError:
    return UsageError(
        cache.root,
        expected=f"pairs, since --method {method} trains on mixes",
        found="a cache of originals only",
        do="use --method kd or ft, or add pairs: cache-teacher with the same options and --pairs N",
    )


def _objective(options: TrainOptions, regression: bool) -> Objective:
    if regression and options.distance != "mse":
        raise UsageError(
            "--distance",
            expected="mse, since this cache's labels are numbers",
            found=options.distance,
            do="leave it out",
        )
    return Objective(options.weights, regression, options.distance, options.temperature)


def _settings(options: TrainOptions, start: Start, caches: Sequence[Cache]) -> dict[str, Any]:
    settings = {name: value for name, value in options.settings().items() if name != "device"}
    return {
        **settings,
        "start": start.sha256[:12],
        "caches": [cache.identity.fingerprint[:12] for cache in caches],
    }
