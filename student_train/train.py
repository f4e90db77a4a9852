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

import torch
from accelerate import Accelerator

from mixkd.shared import publish
from mixkd.shared.models.model import to_tensor, to_tensors
from mixkd.shared.models.quietly import quiet
from mixkd.shared.progress import progress
from mixkd.shared.training import learning_rate, parameter_groups
from mixkd.student_train import checkpoints, output
from mixkd.student_train.batches import Batch, batches
from mixkd.student_train.card import model_card
from mixkd.student_train.device import make_accelerator
from mixkd.student_train.interrupt import Interruption
from mixkd.student_train.losses import LossLog, Observe
from mixkd.student_train.memory import memory_for_step, memory_for_student
from mixkd.student_train.objective.terms import Part, Rows
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.prepare import begin, prepare
from mixkd.student_train.report import metrics_line, result_of
from mixkd.student_train.results import METRICS, Epoch, TrainResult, Validation
from mixkd.student_train.student import Start
from mixkd.student_train.together import agree, by_main, together
from mixkd.student_train.trackers import end_trackers, start_trackers, track

log = logging.getLogger(__name__)
CLIP_NORM = 1.0


def train(options: TrainOptions, observe: Observe | None = None) -> TrainResult | None:
    """Train a student and write its folder.

    Args:
        observe: Called with (step, mean losses since its last call) every `log_steps` steps.

    Returns:
        What metrics.json holds; None in every process but the main one.

    Raises:
        MixkdError: Of a class that names what is wrong.
    """
    accelerator = make_accelerator(options)
    with output.claimed(accelerator, options.out_folder, options.resume) as check_claim:
        result = _run(options, accelerator, check_claim, observe)
    # DistributedDataParallel goes before its process group does: freed later, it would wait for the
    # group's threads, which wait for Python's lock.
    accelerator.free_memory()
    end_trackers(accelerator)
    return result if accelerator.is_main_process else None


def _run(
    options: TrainOptions,
    accelerator: Accelerator,
    check_claim: Callable[[], None],
    observe: Observe | None,
) -> TrainResult:
    """Train in a folder that is claimed."""
    out = options.out_folder
    start_trackers(accelerator, options)
    checkpoint = together(accelerator, lambda: checkpoints.last(out) if options.resume else None)
    agree(accelerator, {"checkpoint": checkpoint.folder.name if checkpoint else "none"})

    setup = prepare(options, accelerator, checkpoint)
    student, order, objective = setup.start.student, setup.order, setup.objective
    steps = setup.epochs * order.steps_per_epoch
    run, at = together(accelerator, lambda: begin(setup, checkpoint))
    agree(accelerator, {"step": at.done, "seal": setup.caches[0].pin, "settings": setup.digest})
    groups = parameter_groups(student, options.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate)
    with memory_for_student(accelerator.device):
        model, optimizer = accelerator.prepare(student, optimizer)
    trained = checkpoints.Trained(accelerator, model, optimizer)
    torch.manual_seed(options.seed + accelerator.process_index)  # each process has its own dropout
    if checkpoint:
        together(accelerator, lambda: checkpoints.load(trained, checkpoint, options.seed))
    losses = LossLog(accelerator, setup.epochs, steps, options.log_steps, observe)
    began = time.monotonic() - run.seconds

    def save() -> None:
        run.seconds = time.monotonic() - began
        run.processes, run.device = setup.world, setup.device
        by_main(accelerator, check_claim)
        checkpoints.save(trained, out, at.done, setup.state(at), run)

    bar: Any = nullcontext(lambda count: None)
    if accelerator.is_main_process:
        left = max(0, setup.epochs * order.examples - at.done * order.batch_size)
        bar = progress(total=left, label="student", unit="examples")
    with bar as advance, Interruption(accelerator) as stop:
        while at.epoch < setup.epochs:
            model.train()
            for batch in batches(setup.source, order, at.epoch, at.step, setup.rank, setup.world):
                rate = learning_rate(options.learning_rate, at.done, steps, options.warmup)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                with memory_for_step(batch.inputs, options.batch_size, accelerator.device):
                    terms = objective(forward(model, batch, accelerator.device), batch.counts)
                    loss = objective.weighted(terms)
                    # DistributedDataParallel averages gradients; the terms are parts of one sum.
                    accelerator.backward(loss * setup.world)
                    accelerator.clip_grad_norm_(model.parameters(), CLIP_NORM)
                    optimizer.step()
                    optimizer.zero_grad()

                at.step += 1
                advance(batch.counts["originals"])
                losses.add({"loss": loss, **terms}, at, rate)
                if at.step == order.steps_per_epoch:
                    break  # validation and the checkpoint of the epoch come first
                stopping = stop.requested(at.done)
                if stopping or at.done % options.checkpoint_steps == 0:
                    save()
                if stopping:
                    stop.end(at.done, steps)

            validation = setup.validator(accelerator, model)
            at.epoch, at.step = at.epoch + 1, 0
            run.history.append(Epoch(at.epoch, validation))
            track(accelerator, _flat(validation), at.done)
            log.info("epoch %d: %s", at.epoch, metrics_line(validation))
            save()
            if stop.requested():
                stop.end(at.done, steps)

    result = result_of(options, setup, run, accelerator)

    def finish() -> None:
        check_claim()
        output.finish(out, lambda folder: _write(folder, setup.start, result))

    by_main(accelerator, finish)
    return result


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
    return {part: Rows(logits[at], teacher[at], targets[at]) for part, at in parts.items()}


def _flat(validation: Validation) -> dict[str, float]:
    return {
        f"{split}/{name}": value
        for split, metrics in validation.items()
        for name, value in metrics.items()
    }


def _write(folder: Path, start: Start, result: TrainResult) -> None:
    """Write a `transformers` folder, the model card and metrics.json."""
    with quiet():
        start.student.model.save_pretrained(folder)
        start.tokenizer.save_pretrained(folder)
    disk = publish.Root(folder)
    disk.replace("README.md", str(model_card(result)).encode())
    text = json.dumps(result.to_json(), indent=1) + "\n"
    disk.replace(METRICS, text.encode())
