"""What a run trains on and with, put together from its options before the first step."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import UsageError
from mixkd.shared.json_values import dumps, sha256_hex
from mixkd.shared.metrics import REGRESSION
from mixkd.shared.training import scored_at_once
from mixkd.student_train.batches import Source
from mixkd.student_train.checkpoints import Checkpoint
from mixkd.student_train.joined import JoinedPairs, teacher_logits
from mixkd.student_train.objective.distances import DISTANCES
from mixkd.student_train.objective.terms import Objective
from mixkd.student_train.opening import open_caches
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.order import Order
from mixkd.student_train.state import Position, Run, State
from mixkd.student_train.student import Start, load
from mixkd.student_train.together import main_first, together
from mixkd.student_train.validate import Validator

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that does not change while a run trains.

    Attributes:
        caches: The first gives examples, labels and tokenizer.
        rank, world: This process among all.
        device: The kind that it computes on.
        settings: What a resumed run must have in common, as JSON values; a different device and
            number of processes may continue it.
        digest: The sha256 of the settings.
    """

    caches: Sequence[Cache]
    start: Start
    source: Source
    order: Order
    objective: Objective
    validator: Validator
    epochs: int
    rank: int
    world: int
    device: str
    settings: dict[str, Any]
    digest: str

    def state(self, at: Position) -> State:
        """Return the state of a run at a position."""
        return State(self.caches[0].pin, self.digest, at.epoch, at.step)


def prepare(
    options: TrainOptions, accelerator: Accelerator, checkpoint: Checkpoint | None
) -> Setup:
    """Open the caches, load the student, and fix order and objective.

    Args:
        checkpoint: Of a resumed run, which reads the seals that it began with.

    Raises:
        MixkdError: Of a class that names what is wrong.
    """
    caches = together(accelerator, lambda: open_caches(options.roots, checkpoint))
    identity, pairs = caches[0].identity, JoinedPairs(caches)
    settings = _settings(options, caches)
    objective = _objective(options, identity.problem_type == REGRESSION)
    if objective.needs_mixes and not len(pairs):
        raise _no_pairs(caches[0], options.method)
    start = main_first(
        accelerator,
        lambda: load(
            caches[0], options.student, options.layers, options.seed, options.allow_model_type
        ),
    )
    settings |= {"start": start.sha256[:12]}
    digest = sha256_hex(dumps(settings))
    train = start.examples["train"]
    teacher = teacher_logits(caches)
    shards = pairs.shards if objective.needs_mixes else ()
    order = Order(len(train), shards, options.batch_size, options.mix_ratio, options.seed)
    log.info("%s", pairs_used(order, options.epochs, len(pairs)))
    validation = {split: rows for split, rows in start.examples.items() if split != "train"}
    pad_id = start.student.pad_id
    return Setup(
        caches=caches,
        start=start,
        source=Source(train, teacher["train"], pairs, objective.regression, pad_id),
        order=order,
        objective=objective,
        validator=Validator(
            start.student,
            validation,
            teacher,
            identity.problem_type,
            scored_at_once(options.batch_size),
        ),
        epochs=options.epochs,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        device=accelerator.device.type,
        settings=settings,
        digest=digest,
    )


def begin(setup: Setup, checkpoint: Checkpoint | None) -> tuple[Run, Position]:
    """Return a new run at its first step, or the checkpoint's where it stopped.

    Raises:
        StateError: If the checkpoint is of a run with different settings.
    """
    at = Position(0, 0, setup.order.steps_per_epoch)
    if checkpoint is None:
        seals = [cache.pin for cache in setup.caches]
        return Run(seals, setup.settings, setup.world, setup.device), at
    folder, state, run = checkpoint.folder, checkpoint.state, checkpoint.run
    run.check(setup.settings, folder)
    state.check(setup.digest, setup.epochs, at.steps_per_epoch, folder)
    log.info("resuming after step %d of epoch %d", state.step, state.epoch + 1)
    return run, Position(state.epoch, state.step, at.steps_per_epoch)


def pairs_used(order: Order, epochs: int, available: int) -> str:
    """Report how many of the cache's pairs a run will use, and what would use them all."""
    if not order.pairs:
        return f"this run uses none of the cache's {available:,} pairs: its objective has no mixes"
    trained = order.pairs_per_epoch * epochs
    per_epoch = f"{order.pairs_per_epoch:,} per epoch"
    if trained >= available:
        times = trained / available
        return (
            f"this run uses all of the cache's {available:,} pairs, {times:.1f} times ({per_epoch})"
        )
    ratio = math.ceil(100 * available / (epochs * order.examples)) / 100
    by_epochs = ""
    if order.pairs_per_epoch:
        by_epochs = f"--epochs {math.ceil(available / order.pairs_per_epoch)} or "
    return (
        f"this run uses {trained:,} of the cache's {available:,} pairs ({per_epoch}); "
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
    if regression and not DISTANCES[options.distance].fits_regression:
        fitting = [row.name for row in DISTANCES.values() if row.fits_regression]
        raise UsageError(
            "--distance",
            expected=f"{' or '.join(fitting)}, since this cache's labels are numbers",
            found=options.distance,
            do="leave it out",
        )
    return Objective(options.all_weights, regression, options.distance, options.temperature)


def _settings(options: TrainOptions, caches: Sequence[Cache]) -> dict[str, Any]:
    settings = {name: value for name, value in options.settings().items() if name != "device"}
    return {**settings, "caches": [cache.identity.fingerprint[:12] for cache in caches]}
