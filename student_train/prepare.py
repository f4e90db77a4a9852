"""What a run trains on and with, put together from its options before the first step."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import Accelerator

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import StateError, UsageError
from mixkd.shared.json_values import dumps, sha256_hex
from mixkd.shared.options import check, option
from mixkd.shared.progress import now
from mixkd.shared.training import scored_at_once
from mixkd.student_train.batches import Source
from mixkd.student_train.checkpoints import Checkpoint
from mixkd.student_train.headline import Headline
from mixkd.student_train.joined import JoinedPairs, teacher_logits
from mixkd.student_train.objective.distances import distance_of
from mixkd.student_train.objective.terms import Objective
from mixkd.student_train.opening import open_caches
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.order import Order
from mixkd.student_train.results import Validation
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
        settings: What a resumed run must have in common, as JSON values; a different device,
            number of processes and of parts of a step may continue it.
        digest: The sha256 of the settings.
        steps: Those that are planned; `epochs` are as many as they begin.
        eval_steps: Steps between validations.
        headline: What the student is judged by.
        teacher: The teacher's metrics.
        max_length: Tokens of the longest example that the student may see.
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
    steps: int
    eval_steps: int
    headline: Headline
    teacher: Validation
    max_length: int

    def validates(self, done: int) -> bool:
        """Say whether there is a validation after so many steps."""
        return done % self.eval_steps == 0 or done == self.steps

    def validations(self, done: int) -> list[int]:
        """Return the steps of all validations until then."""
        last = [done] if done == self.steps and done % self.eval_steps else []
        return [*range(self.eval_steps, done + 1, self.eval_steps), *last]

    def ended(self, options: TrainOptions, done: int, run: Run) -> bool:
        """Say whether a run is over after so many steps: all, or no better for too long."""
        stale = self.headline.validations_since_best(run.history)
        return done == self.steps or (options.patience is not None and stale >= options.patience)

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
    now("opening the cache")
    caches = together(accelerator, lambda: open_caches(options.roots, checkpoint))
    identity, pairs = caches[0].identity, JoinedPairs(caches)
    settings = _settings(options, caches)
    max_length = _max_length(options, identity.max_length)
    distance_of(options.distance, identity.problem_type)  # refuses one that has no meaning here
    objective = Objective(
        options.all_weights, identity.problem_type, options.distance, options.temperature
    )
    train_split = identity.splits[0]
    if not train_split.labelled:
        objective = _without_labels(objective, options, caches[0])
    elif train_split.labelled < train_split.rows:
        log.info("%s", labels_used(objective, train_split.labelled, train_split.rows))
    if objective.needs_mixes and not len(pairs):
        raise _no_pairs(caches[0], options.method)
    now("loading the student")
    start = main_first(
        accelerator,
        lambda: load(
            caches[0],
            options.student,
            options.layers,
            options.seed,
            options.allow_model_type,
            max_length,
        ),
    )
    settings |= {"start": start.sha256[:12]}
    digest = sha256_hex(dumps(settings))
    train = start.examples["train"]
    teacher = teacher_logits(caches)
    shards = pairs.shards if objective.needs_mixes else ()
    # Where nothing is learnt without a label, an epoch is a pass over the labelled examples.
    originals = np.flatnonzero(train.labelled) if len(objective.labels_only) == 2 else None
    examples = len(train) if originals is None else len(originals)
    order = Order(examples, shards, options.batch_size, options.mix_ratio, options.seed)
    steps = options.max_steps or options.epochs * order.steps_per_epoch
    log.info("%s", pairs_used(order, steps, len(pairs)))
    validation = {split: rows for split, rows in start.examples.items() if split != "train"}
    pad_id = start.student.pad_id
    validator = Validator(
        start.student,
        validation,
        teacher,
        identity.problem_type,
        scored_at_once(options.batch_size),
    )
    teacher_metrics = validator.teacher_metrics()
    return Setup(
        caches=caches,
        start=start,
        source=Source(
            *(train, teacher["train"], pairs, identity.problem_type, pad_id),
            originals=originals,
            labels_only=objective.labels_only,
        ),
        order=order,
        objective=objective,
        validator=validator,
        epochs=-(-steps // order.steps_per_epoch),
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        device=accelerator.device.type,
        settings=settings,
        digest=digest,
        steps=steps,
        eval_steps=options.eval_steps
        or steps_between_validations(order, sum(map(len, validation.values()))),
        headline=Headline.of(caches[0].header.metric, teacher_metrics),
        teacher=teacher_metrics,
        max_length=int(min(max_length, start.tokenizer.model_max_length)),
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
    state.check(setup.digest, setup.steps, at.steps_per_epoch, folder)
    at = Position(state.epoch, state.step, at.steps_per_epoch)
    at.end_epoch()
    expected = setup.validations(at.done)
    if [validated.step for validated in run.history] != expected:
        raise StateError(
            folder,
            expected=f"{len(expected)} validations in {at.done} steps",
            found=f"{len(run.history)}",
            do="remove this folder to start again",
        )
    log.info("resuming after step %d of epoch %d", state.step, state.epoch + 1)
    return run, at


def steps_between_validations(order: Order, validated: int) -> int:
    """Return as many whole epochs of steps as train on no fewer rows than are validated."""
    trained = order.examples + order.pairs_per_epoch
    return order.steps_per_epoch * max(1, -(-validated // trained))


def pairs_used(order: Order, steps: int, available: int) -> str:
    """Report how many of the cache's pairs a run will use, and what would use them all."""
    if not order.pairs:
        return f"this run uses none of the cache's {available:,} pairs: its objective has no mixes"
    trained = order.pairs_per_epoch * steps // order.steps_per_epoch
    per_epoch = f"{order.pairs_per_epoch:,} per epoch"
    if trained >= available:
        times = trained / available
        return (
            f"this run uses all of the cache's {available:,} pairs, {times:.1f} times ({per_epoch})"
        )
    ratio = math.ceil(100 * available * order.steps_per_epoch / (steps * order.examples)) / 100
    by_epochs = ""
    if order.pairs_per_epoch:
        by_epochs = f"--epochs {math.ceil(available / order.pairs_per_epoch)} or "
    return (
        f"this run uses {trained:,} of the cache's {available:,} pairs ({per_epoch}); "
        f"{by_epochs}--mix-ratio {ratio:g} would use all"
    )


def _max_length(options: TrainOptions, cached: int) -> int:
    if options.max_length is None:
        return cached
    check(
        "max_length",
        options.max_length,
        options.max_length <= cached,
        f"at most {cached}, which the cache's examples were cut at",
        "leave it out, or build a cache with a larger --max-length",
    )
    return options.max_length


def labels_used(objective: Objective, labelled: int, rows: int) -> str:
    """Report which terms see the labelled rows alone."""
    terms = [term for term in objective.terms if term.needs_labels]
    names = " and ".join(term.name for term in terms)
    said = f"{labelled:,} of {rows:,} train examples have a label"
    if terms:
        said += f"; {names} {'see' if len(terms) > 1 else 'sees'} labelled rows alone"
    if any(term.part == "mixes" for term in terms):
        said += f", and of the mixes those of two: about {100 * (labelled / rows) ** 2:.2g}%"
    return said


def _without_labels(objective: Objective, options: TrainOptions, cache: Cache) -> Objective:
    """Leave out the terms that need labels, where a cache has none.

    Raises:
        UsageError: If nothing is left, or such a term was asked for by its weight.
    """
    kept = objective.without_labels()
    needing = [term.name for term in objective.terms if term.name not in kept.weights]
    asked = [name for name in needing if options.weights.get(name)]
    if asked or not kept.terms:
        what = option(f"alpha_{asked[0]}") if asked else f"--method {options.method}"
        raise UsageError(
            cache.root,
            expected=f"train examples with labels, which {what} needs",
            found="none that has one",
            do="leave it out"
            if asked
            else "use a method that learns from the teacher: --method kd, tmkd or mixkd",
        )
    if needing:
        left_out = " and ".join(needing)
        log.info("no train example has a label: this run goes without %s", left_out)
    return kept


def _no_pairs(cache: Cache, method: str) -> UsageError:
    given = cache.identity.teacher.source == "logits"
    more = ", or add pairs: cache-teacher with the same options and --pairs N"
    return UsageError(
        cache.root,
        expected=f"pairs, since --method {method} trains on mixes",
        found=f"a cache of {'given logits, which has none' if given else 'originals only'}",
        do=f"use --method kd or ft{more * (not given)}",
    )


def _settings(options: TrainOptions, caches: Sequence[Cache]) -> dict[str, Any]:
    free = ("device", "gradient_accumulation")
    settings = {name: value for name, value in options.settings().items() if name not in free}
    return {**settings, "caches": [cache.identity.fingerprint[:12] for cache in caches]}
