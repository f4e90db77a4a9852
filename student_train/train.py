"""Training a student from a cache: the loop, from opened caches to a finished folder.

    metrics = train(TrainOptions(cache=(Path("shards/rte"),)))

Read `train` from top to bottom. It runs on `accelerate`: one process, or several that split each
global batch; the losses are those of the whole batch whatever the number of processes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import Tensor

from mixkd.shared.errors import LogitsError
from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.files import quiet
from mixkd.shared.progress import progress
from mixkd.student_train import checkpoints, output, report
from mixkd.student_train.batches import Batch, batches
from mixkd.student_train.checkpoints import Run
from mixkd.student_train.device import make_accelerator
from mixkd.student_train.evaluate import Logits, evaluation, predictions
from mixkd.student_train.interrupt import Interruption
from mixkd.student_train.objective.terms import Part, Rows
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.order import Order, State
from mixkd.student_train.prepare import Setup, prepare
from mixkd.student_train.student import Start, Student, as_array, moved, tensors

log = logging.getLogger(__name__)
CLIP_NORM = 1.0
Observe = Callable[[int, Mapping[str, float]], None]


def train(options: TrainOptions, observe: Observe | None = None) -> dict[str, Any] | None:
    """Train a student and write its folder.

    Args:
        observe: Is told (step, mean loss terms since it was told last) every `log_steps` steps.

    Returns:
        What metrics.json holds; None in every process but the main one.

    Raises:
        CacheError: Of a class that names what is wrong.
    """
    out = options.out_folder
    accelerator = make_accelerator(options, out)
    if accelerator.is_main_process:
        output.claim(out, options.resume)
    accelerator.wait_for_everyone()
    checkpoint = checkpoints.newest(out) if options.resume else None
    state, run = checkpoints.read(checkpoint) if checkpoint else (None, None)
    setup = prepare(options, accelerator, run.seals if run else None, checkpoint)
    student, order, objective = setup.start.student, setup.order, setup.objective
    model, optimizer = accelerator.prepare(student, _optimizer(student, options))
    torch.manual_seed(options.seed + accelerator.process_index)  # dropout, in each process its own
    if checkpoint and state and run:
        checkpoints.check_settings(run, setup.settings, checkpoint)
        state.check(setup.digest, options.epochs, order.steps_per_epoch, checkpoint)
        done = state.epoch * order.steps_per_epoch + state.step
        checkpoints.load(accelerator, checkpoint, run, options.seed, done)
        log.info("resuming after step %d of epoch %d", state.step, state.epoch + 1)
    else:
        run = Run([cache.pin for cache in setup.caches], setup.settings, setup.world)
        state, done = State(run.seals[0], setup.digest, epoch=0, step=0), 0
    began = time.monotonic() - run.seconds
    steps = options.epochs * order.steps_per_epoch
    meter = LossMeter(accelerator)

    def save(epoch: int, step: int) -> None:
        run.seconds, run.processes = time.monotonic() - began, setup.world
        place = State(run.seals[0], setup.digest, epoch, step)
        checkpoints.save(accelerator, out, done, place, run)

    def end() -> None:
        log.info("stopped after step %d of %d; continue with --resume", done, steps)
        stop.end()

    with _progress(accelerator, options, order, done) as advance, Interruption(accelerator) as stop:
        for epoch in range(state.epoch, options.epochs):
            model.train()
            step = state.step if epoch == state.epoch else 0
            for batch in batches(setup.source, order, epoch, step, setup.rank, setup.world):
                rate = learning_rate(done, steps, options)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                terms = objective(forward(model, batch, accelerator.device), batch.counts)
                loss = objective.weighted(terms)
                # DistributedDataParallel averages gradients; the terms are parts of one sum.
                accelerator.backward(loss * setup.world)
                accelerator.clip_grad_norm_(model.parameters(), CLIP_NORM)
                optimizer.step()
                optimizer.zero_grad()

                step, done = step + 1, done + 1
                meter.add({"loss": loss, **terms})
                advance(batch.counts["originals"])
                if done % options.log_steps == 0 or done == steps:
                    means = meter.means(done)
                    accelerator.log({**means, "learning_rate": rate, "epoch": epoch + 1}, step=done)
                    log.info("%s", _loss_line(epoch, step, means, rate, options, order))
                    if observe:
                        observe(done, means)
                # After an epoch's last step, validation and the epoch's own checkpoint come first.
                if stop.requested(done) and step < order.steps_per_epoch:
                    save(epoch, step)
                    end()
                if done % options.checkpoint_steps == 0 and step < order.steps_per_epoch:
                    save(epoch, step)

            found = _validate(accelerator, model, setup)
            run.history.append({"epoch": epoch + 1, "validation": found})
            accelerator.log(_flat(found), step=done)
            log.info("epoch %d: %s", epoch + 1, report.scores_line(found))
            save(epoch + 1, 0)
            if stop.requested():
                end()

    metrics = report.metrics(options, setup, run, accelerator)
    if accelerator.is_main_process:
        output.finish(out, lambda folder: _write(folder, setup.start, metrics))
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return metrics if accelerator.is_main_process else None


class LossMeter:
    """Means of the loss terms over all processes since it was asked last, kept on the device."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._steps += 1

    def means(self, step: int) -> dict[str, float]:
        """Name -> mean.

        Raises:
            LogitsError: If one is not finite: the run has gone wrong and would only waste time.
        """
        total = self.accelerator.reduce(torch.stack(list(self._sums.values())), "sum")
        means = dict(zip(self._sums, (total / self._steps).tolist(), strict=True))
        check_finite(f"the losses up to step {step}", list(means.values()))
        self._sums, self._steps = {}, 0
        return means


def check_finite(what: str, values: npt.ArrayLike) -> None:
    """Stop a run that has gone wrong and would only waste time.

    Raises:
        LogitsError: If a value is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise LogitsError(
            what,
            expected="finite numbers",
            found="NaN or infinity",
            do="lower --learning-rate, or use --dtype float32",
        )


def learning_rate(done: int, steps: int, options: TrainOptions) -> float:
    """Of the step after `done` of `steps` steps: rising over the first share, then falling to 0."""
    rising = max(1, round(options.warmup * steps)) if options.warmup else 0
    if done < rising:
        return options.learning_rate * (done + 1) / rising
    return options.learning_rate * (steps - done) / max(1, steps - rising)


def forward(model: Any, batch: Batch, device: torch.device) -> dict[Part, Rows]:
    """One forward for originals and mixes, cut into both parts."""
    logits = model(tensors(batch.inputs, device)).float()  # [B, C]
    teacher = moved(batch.teacher, device)  # [B, C]
    targets = moved(batch.targets, device)  # [B, C]
    cut = batch.rows["originals"]
    parts: dict[Part, slice] = {
        "originals": slice(0, cut),
        "mixes": slice(cut, cut + batch.rows["mixes"]),
    }
    return {part: Rows(logits[at], teacher[at], targets[at]) for part, at in parts.items()}


def _validate(accelerator: Accelerator, model: Any, setup: Setup) -> dict[str, dict[str, float]]:
    """Each validation split's scores, its batches shared among the processes."""
    student, identity = setup.start.student, setup.caches[0].identity
    model.eval()

    def score(batch: MixBatch) -> Logits:
        with torch.inference_mode(), accelerator.autocast():
            return as_array(student.from_ids(tensors(batch, accelerator.device)))

    found = {}
    for split in (split.name for split in identity.splits[1:]):
        examples = setup.start.examples[split]
        part = predictions(
            score, examples, student.pad_id, identity.classes, setup.rank, setup.world
        )
        whole = accelerator.reduce(torch.from_numpy(part).to(accelerator.device), "sum")
        logits = as_array(whole)
        check_finite(f"the student's logits on {split}", logits)
        teacher = setup.teacher[split]
        found[split] = evaluation(logits, teacher, examples.labels, identity.problem_type)
    return found


def _optimizer(student: Student, options: TrainOptions) -> torch.optim.Optimizer:
    """AdamW; biases and normalisations, which have one dimension, are not decayed."""
    parameters = list(student.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate)


def _progress(accelerator: Accelerator, options: TrainOptions, order: Order, done: int) -> Any:
    if not accelerator.is_main_process:
        return nullcontext(lambda count: None)
    left = options.epochs * order.examples - done * order.batch_size
    return progress(total=max(left, 0), label="student", unit="examples")


def _loss_line(
    epoch: int,
    step: int,
    means: Mapping[str, float],
    rate: float,
    options: TrainOptions,
    order: Order,
) -> str:
    terms = ", ".join(f"{name} {value:.4f}" for name, value in means.items() if name != "loss")
    return (
        f"epoch {epoch + 1}/{options.epochs} step {step}/{order.steps_per_epoch}: "
        f"loss {means['loss']:.4f} ({terms}), learning rate {rate:.2g}"
    )


def _flat(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{split}/{name}": v for split, found in scores.items() for name, v in found.items()}


def _write(folder: Path, start: Start, metrics: Mapping[str, Any]) -> None:
    """A `transformers` folder, the model card and metrics.json."""
    with quiet():
        start.student.model.save_pretrained(folder)
        start.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(report.card(metrics), encoding="utf-8")
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
