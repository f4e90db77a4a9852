"""Slot 3: whole runs. Stopped and resumed, out of memory, on other devices, ended by a signal."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scripts.gpu.bench import Bench, follow_advice
from scripts.gpu.outcome import NotTested, require
from scripts.gpu.steps import Numbers, Step

ROOT = Path(__file__).resolve().parents[2]
CLOSE = 1e-3  # of weights and logits that kernels may add up in different orders
PINNED_BATCHES = 1000
ROOM_BYTES = 3 * 2**30  # for a teacher of BERT-base's size and little else
TIMEOUT_S = 240


def stopped_and_resumed(bench: Bench) -> Numbers:
    """A run that was stopped and resumed ends as a straight one; AdamW's step stays on the CPU"""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    places: set[str] = set()

    def note(optimizer: Any, args: Any, kwargs: Any) -> None:
        places.update(str(state["step"].device) for state in optimizer.state.values() if state)

    bench.student("straight")
    bench.stopped_student("resumed", at=4)
    hook = register_optimizer_step_pre_hook(note)
    try:
        bench.student("resumed", resume=True)
    finally:
        hook.remove()
    difference = _difference(bench.folder / "student-straight", bench.folder / "student-resumed")
    require(places == {"cpu"}, f"AdamW's step is on {', '.join(sorted(places)) or 'no device'}")
    require(difference <= CLOSE, f"weights differ by {difference:.2g}")
    return {"largest_difference": difference, "step_on": sorted(places)}


def out_of_memory(bench: Bench) -> Numbers:
    """What a full memory proposes works: in a build, a fine-tuning and a training"""
    bench.needs_card()
    from mixkd.teacher_cache.finetune import FinetuneOptions, finetune

    bench.built("float32")
    encoder = bench.teacher

    def build(batch_tokens: int | None) -> object:
        return bench.build(f"oom-{batch_tokens}", batch_tokens=batch_tokens or 2**20)

    def tune(batch_size: int | None) -> object:
        out = bench.folder / f"tuned-{batch_size}"
        return finetune(_finetune(bench, FinetuneOptions, encoder, out, batch_size or 2**11))

    def train(batch_size: int | None) -> object:
        return bench.student(f"oom-{batch_size}", batch_size=batch_size or 2**11, mix_ratio=1.0)

    cases: dict[str, tuple[str, Callable[[int | None], object]]] = {
        "build": ("--batch-tokens", build),
        "finetune": ("--batch-size", tune),
        "training": ("--batch-size", train),
    }
    numbers: Numbers = {}
    with _little_memory(bench):
        for name, (option, run) in cases.items():
            numbers[name] = follow_advice(option, run)[1]
    missing = [name for name, proposed in numbers.items() if not proposed]
    require(not missing, f"the memory was never full in {', '.join(missing)}")
    return numbers


def estimate(bench: Bench) -> Numbers:
    """What the estimate before a pass says, beside what the pass took"""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("mixkd.teacher_cache.estimate")
    logger.addHandler(handler)
    try:
        built = bench.build("estimate")
    finally:
        logger.removeHandler(handler)
    require(bool(said), "there was no estimate")
    return {"said": said[0], "seconds": built.seconds}


def checkpoints_across_devices(bench: Bench) -> Numbers:
    """A run goes on from the card to the CPU and back"""
    bench.needs_card()
    bench.stopped_student("across", at=3, device="cuda")
    bench.stopped_student("across", at=5, device="cpu", resume=True)
    losses: list[float] = []
    result = bench.student("across", losses, device="cuda", resume=True)
    require(bool(np.isfinite(losses).all()), f"losses are {losses}")
    return {"steps": result.steps, "last_loss": round(losses[-1], 4)}


def two_builds(bench: Bench) -> Numbers:
    """Two builds on this device give the same bytes"""
    from mixkd.shared.cache.reader import Cache

    digests = []
    for name in ("first", "second"):
        bench.build(name)
        shards = Cache.open(bench.root(name)).seal.shards
        digests.append({(record.kind, record.start): record.sha256 for record in shards})
    different = [key for key, digest in digests[0].items() if digests[1].get(key) != digest]
    require(not different, f"{len(different)} of {len(digests[0])} shards differ")
    return {"shards": len(digests[0])}


def float16(bench: Bench) -> Numbers:
    """A float16 cache agrees with the CPU's rerun in float32"""
    run = bench.build("float16", dtype="float16")
    bench.verify("float16")
    return {"dtype": run.made.dtype, "rows_per_second": run.rows_per_second}


def fine_tuning(bench: Bench) -> Numbers:
    """A model is fine-tuned"""
    from mixkd.teacher_cache.finetune import FinetuneOptions, finetune

    out = bench.folder / "tuned"
    done = finetune(_finetune(bench, FinetuneOptions, bench.teacher, out, 32))
    return {"seconds": round(done.seconds, 2), done.metric: done.scores["validation"][done.metric]}


def families(bench: Bench) -> Numbers:
    """Nine families score on this device as on the CPU, in float32"""
    from mixkd.shared.models.locate import locate
    from mixkd.teacher_cache.teacher import Teacher
    from tests.miniature import ENCODERS, tiny_teacher
    from tests.numpy_caches import pair_table
    from tests.teacher_cache.loaded import some_examples

    numbers: Numbers = {}
    for family in ENCODERS:
        checkpoint = locate(str(tiny_teacher(bench.folder / family, family)))
        examples = some_examples(checkpoint)
        logits = []
        for device in ("auto", "cpu"):
            teacher = Teacher.load(checkpoint, (0, 1), mask="union", max_length=64, device=device)
            teacher.probe(examples)
            mixes = examples.mixes(pair_table([0, 1, 3], [2, 0, 3], [0.9, 0.3, 1]), teacher.pad_id)
            logits.append(teacher.score(mixes))
        numbers[family] = float(np.abs(logits[0] - logits[1]).max())
    far = {family: difference for family, difference in numbers.items() if difference > CLOSE}
    require(not far, f"logits differ: {far}")
    return numbers


def pinned_batches(bench: Bench) -> Numbers:
    """Batches that are overwritten on the host at once arrive whole"""
    bench.needs_card()
    import torch

    from mixkd.shared.models.model import to_tensor

    arrived = []
    for number in range(PINNED_BATCHES):
        array = np.full((256, 64), number, np.int64)
        arrived.append(to_tensor(array, bench.device))
        array[:] = -1
    found = torch.stack([tensor.amin() for tensor in arrived] + [t.amax() for t in arrived])
    expected = torch.arange(PINNED_BATCHES, device=bench.device).repeat(2)
    require(bool((found == expected).all()), "a batch was overwritten before it was copied")
    return {"batches": PINNED_BATCHES}


def peak_memory(bench: Bench) -> Numbers:
    """The default batch leaves room on the card"""
    bench.needs_card()
    import torch

    torch.cuda.reset_peak_memory_stats(bench.device)
    bench.build("peak")
    peak = torch.cuda.max_memory_allocated(bench.device)
    total = torch.cuda.get_device_properties(bench.device).total_memory
    require(peak < 0.9 * total, f"{peak / 2**30:.1f} of {total / 2**30:.1f} GiB are used")
    return {"peak_gib": round(peak / 2**30, 2), "total_gib": round(total / 2**30, 1)}


def two_cards(bench: Bench) -> Numbers:
    """One builder per card makes a cache that agrees with the CPU's rerun"""
    bench.needs_card()
    import torch

    if (count := torch.cuda.device_count()) < 2:
        raise NotTested("there is one CUDA device")
    run = bench.build("all", devices=("all",), dtype="float32")
    bench.verify("all")
    return {"builders": count, "rows_per_second": run.rows_per_second}


def sigterm(bench: Bench) -> Numbers:
    """SIGTERM ends a training in order, and it can be resumed"""
    bench.built("float32")
    out = bench.folder / "student-signal"
    arguments = ["--cache", str(bench.root("float32")), "--out", str(out), "--dtype", "float32"]
    arguments += ["--epochs", "40", "--log-steps", "1"]
    line, began = "nothing was said", time.monotonic()
    with _training(arguments) as running:
        said: Iterable[str] = running.stderr or ()
        try:
            for line in said:
                if "step 1/" in line:
                    running.send_signal(signal.SIGTERM)
                    began = time.monotonic()
            code = running.wait(TIMEOUT_S)
        finally:
            running.kill()  # one that goes on after its step was given up
    require(code == 143, f"it ended with {code}: {line}")
    require(any((out / "checkpoints").iterdir()), "there is no checkpoint to resume from")
    return {"exit": code, "seconds_to_end": round(time.monotonic() - began, 2)}


def _finetune(bench: Bench, kind: Any, model: Path, out: Path, batch_size: int) -> Any:
    return kind(
        task="synthetic",
        data=str(bench.data),
        text_columns=("text",),
        model=str(model),
        out=out,
        epochs=1,
        batch_size=batch_size,
    )


def _training(arguments: list[str]) -> subprocess.Popen[str]:
    """Start a training as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mixkd.student_train.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _difference(left: Path, right: Path) -> float:
    """Return the largest difference between two students' weights."""
    from safetensors.torch import load_file

    first, second = (load_file(folder / "model.safetensors") for folder in (left, right))
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@contextmanager
def _little_memory(bench: Bench) -> Iterator[None]:
    """Leave this process little of the card's memory while this lasts."""
    import torch

    total = torch.cuda.get_device_properties(bench.device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, ROOM_BYTES / total), bench.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, bench.device)


STEPS: tuple[Step, ...] = (
    stopped_and_resumed,
    out_of_memory,
    estimate,
    checkpoints_across_devices,
    two_builds,
    float16,
    fine_tuning,
    families,
    pinned_batches,
    peak_memory,
    two_cards,
    sigterm,
)
