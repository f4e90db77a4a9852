"""Slot 2: the speed. Ceilings of the card and the share of them that is used; where the host waits.

These steps measure. What they find goes into the table and fails only where nothing was measured.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scripts.gpu.bench import Bench
from scripts.gpu.outcome import require
from scripts.gpu.steps import Numbers, Step

ROOT = Path(__file__).resolve().parents[2]
SIDE = 8192
REPEATS = 10
LINES_SHOWN = 8
# Functions of `teacher_cache.run` that are timed -> what the table calls them.
STAGES = {
    "prepare": "data and digest",
    "_load": "teacher, probe and format",
    "log_estimate": "estimate",
    "_new_files": "tokenizer and starting points",
    "create": "originals and creation",
    "build": "the pass",
}


def ceilings(bench: Bench) -> Numbers:
    """What the card reaches in a large product and in a copy"""
    bench.needs_card()
    import torch

    device = bench.device
    numbers: Numbers = {}
    for dtype in (torch.float32, torch.bfloat16):
        factor = torch.randn(SIDE, SIDE, device=device, dtype=dtype)
        seconds = _on_card(lambda factor=factor: factor @ factor)
        numbers[f"{str(dtype)[6:]}_tflops"] = round(2 * SIDE**3 / seconds / 1e12, 1)
    source = torch.empty(2**28, dtype=torch.float32, device=device)  # 1 GiB
    target = torch.empty_like(source)
    seconds = _on_card(lambda: target.copy_(source))
    numbers["copy_gb_per_s"] = round(2 * source.nbytes / seconds / 1e9)
    return numbers


def share_of_peak(bench: Bench) -> Numbers:
    """What share of the product's ceiling a default batch reaches, a quarter of it, and twice it"""
    bench.needs_card()
    import torch

    from mixkd.teacher_cache.scorer import BATCH_TOKENS

    teacher = bench.loaded()
    teacher.dtype = "bfloat16"
    factor = torch.randn(SIDE, SIDE, device=bench.device, dtype=torch.bfloat16)
    peak = 2 * SIDE**3 / _on_card(lambda: factor @ factor)
    weights = sum(p.numel() for p in teacher.model.base_model.encoder.parameters())
    width = int(bench.train.lengths.max())
    numbers: Numbers = {}
    for factor_of_default in (0.25, 1.0, 2.0):
        rows = int(BATCH_TOKENS["cuda"] * factor_of_default / width)
        chosen = np.resize(np.argsort(bench.train.lengths, kind="stable")[::-1], rows)
        batch = bench.train.originals(chosen, teacher.pad_id)
        seconds = _on_card(lambda batch=batch: teacher.score(batch))
        flops = 2 * weights * batch.left_ids.size
        numbers[f"{factor_of_default:g}_of_default"] = {
            "rows": rows,
            "seconds": round(seconds, 4),
            "share": round(flops / seconds / peak, 3),
        }
    return numbers


def busy_share(bench: Bench) -> Numbers:
    """What share of a build and of a training the card is busy"""
    bench.needs_card()
    from torch.profiler import ProfilerActivity, profile

    numbers: Numbers = {}
    bench.built("float32")
    runs: dict[str, Callable[[], Any]] = {
        "build": lambda: bench.build("busy", dtype="auto"),
        "training": lambda: bench.student("busy", dtype="auto"),
    }
    for name, run in runs.items():
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            began = time.monotonic()
            run()
            wall = time.monotonic() - began
        busy = sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6
        numbers[name] = {"seconds": round(wall, 2), "busy_share": round(busy / wall, 3)}
    return numbers


def synchronisations(bench: Bench) -> Numbers:
    """Where the host waits for the card, by line: how often in a build and a training"""
    bench.needs_card()
    import torch

    bench.built("float32")
    numbers: Numbers = {}
    runs: dict[str, Callable[[], Any]] = {
        "build": lambda: bench.build("syncs", dtype="auto"),
        "training": lambda: bench.student("syncs", dtype="auto"),
    }
    for name, run in runs.items():
        lines: Counter[str] = Counter()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda *args, lines=lines, **more: lines.update([_our_line()])
            torch.cuda.set_sync_debug_mode("warn")
            try:
                run()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        numbers[name] = dict(lines.most_common(LINES_SHOWN))
    return numbers


def stages(bench: Bench) -> Numbers:
    """How long each stage of a build takes, from imports to the seal"""
    numbers: Numbers = {"imports": round(_imports(), 2)}
    with _timed(numbers):
        began = time.monotonic()
        bench.build("stages")
        whole = time.monotonic() - began
    numbers["whole"] = round(whole, 2)
    numbers["rest, with the seal"] = round(
        whole - sum(numbers.get(v, 0) for v in STAGES.values()), 2
    )
    require(STAGES["build"] in numbers, "the pass was not timed")
    return numbers


def _on_card(run: Callable[[], Any]) -> float:
    """Time a call on the card: the mean of several after two that warm up, in seconds."""
    import torch

    for _ in range(2):
        run()
    torch.cuda.synchronize()
    began = time.monotonic()
    for _ in range(REPEATS):
        run()
    torch.cuda.synchronize()
    return (time.monotonic() - began) / REPEATS


def _our_line() -> str:
    """Name the innermost line of the product, and what it calls."""
    stack = traceback.extract_stack()[:-2]  # without this function and the one that warns
    frames = [frame for frame in stack if Path(frame.filename).name != "warnings.py"]
    ours = [frame for frame in frames if frame.filename.startswith(str(ROOT / "mixkd"))]
    named = [f"{Path(f.filename).name}:{f.lineno}" for f in (*ours[-1:], *frames[-1:])]
    return " -> ".join(dict.fromkeys(named))


def _imports() -> float:
    """Time what a build imports, in a process of its own, in seconds."""
    program = "import mixkd.teacher_cache.run, torch, transformers"
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    return time.monotonic() - began


@contextmanager
def _timed(numbers: Numbers) -> Iterator[None]:
    """Time the stages of a build while this lasts."""
    from mixkd.teacher_cache import run as module

    real = {name: getattr(module, name) for name in STAGES if hasattr(module, name)}

    def timer(name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(stage)
        def timed(*args: Any, **more: Any) -> Any:
            began = time.monotonic()
            try:
                return stage(*args, **more)
            finally:
                numbers[STAGES[name]] = round(time.monotonic() - began, 2)

        return timed

    for name, stage in real.items():
        setattr(module, name, timer(name, stage))
    try:
        yield
    finally:
        for name, stage in real.items():
            setattr(module, name, stage)


STEPS: tuple[Step, ...] = (ceilings, share_of_peak, busy_share, synchronisations, stages)
