"""Training a student from a cache: the loop, from opened caches to a finished folder.

    result = train(TrainOptions(cache=(Path("shards/rte"),)))

Read `train` from top to bottom. It runs on `accelerate`: one process, or several that split each
global batch; the losses are those of the whole batch whatever the number of processes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator

from mixkd.shared import publish
from mixkd.shared.models.model import to_tensor, to_tensors
from mixkd.shared.models.quietly import quiet
from mixkd.shared.progress import now, progress, working
from mixkd.shared.training import learning_rate, parameter_groups
from mixkd.student_train import checkpoints, output
from mixkd.student_train.accumulate import micro_batches
from mixkd.student_train.batches import Batch, batches
from mixkd.student_train.card import model_card
from mixkd.student_train.device import make_accelerator
from mixkd.student_train.interrupt import Interruption
from mixkd.student_train.losses import LossLog, Observe
from mixkd.student_train.memory import memory_for_step, memory_for_student
from mixkd.student_train.objective.terms import Part, Rows
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.prepare import Setup, begin, prepare
from mixkd.student_train.report import metrics_line, result_of, speed_of
from mixkd.student_train.results import METRICS, TrainResult, Validated, Validation
from mixkd.student_train.together import agree, by_main, together
from mixkd.student_train.trackers import end_trackers, start_trackers, track

log = logging.getLogger(__name__)
CLIP_NORM = 1.0


@working()
def train(options: TrainOptions, observe: Observe | None = None) -> TrainResult | None:
    """Train a student and write its folder.

    Args:
        observe: Called with (step, mean losses since its last call) every `log_steps` steps.

    Returns:
        What metrics.json holds; None in every process but the main one.

    Raises:
        MixkdError: Of a class that names what is wrong.
    """
    now("looking for the device")
    accelerator = make_accelerator(options)
    with output.claimed(accelerator, options.out_folder, options.resume) as check_claim:
        result = _run(options, accelerator, check_claim, observe)
    # DistributedDataParallel goes before its process group does: freed later, it would wait for the
    # group's threads, which wait for Python's lock.
    accelerator.free_memory()
    end_trackers(accelerator)
    return result


def _run(
    options: TrainOptions,
    accelerator: Accelerator,
    check_claim: Callable[[], None],
    observe: Observe | None,
) -> TrainResult | None:
    """Train in a folder that is claimed."""
    out = options.out_folder
    start_trackers(accelerator, options)
    checkpoint = together(accelerator, lambda: checkpoints.last(out) if options.resume else None)
    agree(accelerator, {"checkpoint": checkpoint.folder.name if checkpoint else "none"})

    setup = prepare(options, accelerator, checkpoint)
    student, order = setup.start.student, setup.order
    steps, keeps_best = setup.steps, options.keep == "best"
    run, at = together(accelerator, lambda: begin(setup, checkpoint))
    agree(accelerator, {"step": at.done, "seal": setup.caches[0].pin, "settings": setup.digest})
    now("preparing the first step")
    groups = parameter_groups(student, options.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate)
    with memory_for_student(accelerator.device):
        model, optimizer = accelerator.prepare(student, optimizer)
    trained = checkpoints.Trained(accelerator, model, optimizer)
    torch.manual_seed(options.seed + accelerator.process_index)  # each process has its own dropout
    if checkpoint:
        with_best = keeps_best and bool(run.history)
        together(
            accelerator, lambda: checkpoints.load(trained, checkpoint, options.seed, with_best)
        )
    losses = LossLog(accelerator, setup.epochs, steps, options.log_steps, observe)
    began = time.monotonic() - run.seconds

    def save() -> None:
        run.seconds = time.monotonic() - began
        run.processes, run.device = setup.world, setup.device
        by_main(accelerator, check_claim)
        checkpoints.save(trained, out, at.done, setup.state(at), run)

    bar: Any = nullcontext(lambda count: None)
    if accelerator.is_main_process:
        left = round(order.examples * (steps - at.done) / order.steps_per_epoch)
        bar = progress(total=left, label="student", unit="examples")
    ended = setup.ended(options, at.done, run)
    with bar as advance, Interruption(accelerator) as stop:
        model.train()
        while not ended:
            for batch in batches(setup.source, order, at.epoch, at.step, setup.rank, setup.world):
                rate = learning_rate(
                    options.learning_rate, at.done, steps, options.warmup, options.scheduler
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                parts = options.gradient_accumulation
                with memory_for_step(batch.inputs, options.batch_size, parts, accelerator.device):
                    terms = _gradients(accelerator, model, setup, batch, options)
                    accelerator.clip_grad_norm_(model.parameters(), CLIP_NORM)
                    optimizer.step()
                    optimizer.zero_grad()

                at.step += 1
                run.mixes += batch.counts["mixes"]
                advance(batch.counts["originals"])
                losses.add(terms, at, rate)
                epoch_ended = at.end_epoch()
                if setup.validates(at.done):
                    validation = setup.validator(accelerator, model)
                    model.train()
                    run.history.append(Validated(at.done, at.passes, validation))
                    if keeps_best and not setup.headline.validations_since_best(run.history):
                        trained.remember()
                    track(accelerator, _flat(validation), at.done)
                    log.info("epoch %g: %s", at.passes, metrics_line(validation))
                ended = setup.ended(options, at.done, run)
                # Every process asks at the end of an epoch, however many steps it had.
                stopping = stop.requested(0 if epoch_ended or ended else at.done)
                if ended and accelerator.is_main_process:
                    run.speed = speed_of(setup, run, accelerator)
                if epoch_ended or ended or stopping or at.done % options.checkpoint_steps == 0:
                    save()
                if stopping:
                    stop.end(at.done, steps)
                if ended:
                    break

    trained.restore()

    now("saving the student")

    def finish() -> TrainResult | None:
        if not accelerator.is_main_process:
            return None
        result = result_of(options, setup, run, at.done, accelerator)
        check_claim()
        output.finish(out, lambda folder: _write(folder, setup, result))
        return result

    return together(accelerator, finish)


def _gradients(
    accelerator: Accelerator, model: Any, setup: Setup, batch: Batch, options: TrainOptions
) -> dict[str, torch.Tensor]:
    """Add the gradients of a step, part by part; return its loss and terms."""
    total: dict[str, torch.Tensor] = {}
    parts = list(micro_batches(batch, options.gradient_accumulation))
    for number, part in enumerate(parts, start=1):
        last = number == len(parts)  # with which the processes exchange what all have added
        with nullcontext() if last else accelerator.no_sync(model):
            rows = forward(model, part, accelerator.device)
            terms = setup.objective(rows, part.counts, part.labelled_counts)
            loss = setup.objective.weighted(terms)
            # DistributedDataParallel averages gradients; the terms are parts of one sum.
            accelerator.backward(loss * setup.world)
        for name, value in {"loss": loss, **terms}.items():
            total[name] = total.get(name, 0) + value.detach()
    return total


def forward(model: Any, batch: Batch, device: torch.device) -> dict[Part, Rows]:
    """Run the student once on originals and mixes, and cut its logits into both parts."""
    logits = model(to_tensors(batch.inputs, device)).float()  # [B, C]
    teacher = to_tensor(batch.teacher, device)  # [B, C]
    targets = to_tensor(batch.targets, device)  # [B, C]
    cut = batch.rows["originals"]
    parts: dict[Part, slice] = {
        "originals": slice(0, cut),
        "mixes": slice(cut, cut + batch.rows["mixes"]),
    }
    return {
        part: Rows(logits[at], teacher[at], targets[at], _positions(batch.labelled[at], device))
        for part, at in parts.items()
    }


def _positions(labelled: npt.NDArray[np.bool_], device: torch.device) -> torch.Tensor | None:
    """Return where a label is, int64; None if each row has one."""
    return None if labelled.all() else to_tensor(np.flatnonzero(labelled), device)


def _flat(validation: Validation) -> dict[str, float]:
    return {
        f"{split}/{name}": value
        for split, metrics in validation.items()
        for name, value in metrics.items()
    }


def _write(folder: Path, setup: Setup, result: TrainResult) -> None:
    """Write a `transformers` folder, the model card and metrics.json."""
    start = setup.start
    start.tokenizer.model_max_length = setup.max_length  # what `truncation=True` cuts at
    with quiet():
        start.student.model.save_pretrained(folder)
        start.tokenizer.save_pretrained(folder)
    disk = publish.Root(folder)
    disk.replace("README.md", str(model_card(result)).encode())
    text = json.dumps(result.to_json(), indent=1) + "\n"
    disk.replace(METRICS, text.encode())
