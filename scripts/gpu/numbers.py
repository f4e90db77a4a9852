"""Slot 1: the numbers. Formats, TensorFloat-32, attention, and a cache against the CPU's rerun."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from scripts.gpu.bench import Bench
from scripts.gpu.outcome import NotTested, require
from scripts.gpu.steps import Numbers, Step

ROOT = Path(__file__).resolve().parents[2]
OVERRIDE = "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
ROWS_COMPARED = 32
ATTENTION = ("flash", "fmha", "sdpa", "efficient_attention")  # in the names of kernels


def automatic_format(bench: Bench) -> Numbers:
    """`auto` is the lower format that the device multiplies itself, and did not fall back"""
    from mixkd.shared.models.device import native_format

    native = native_format(bench.device)
    made = bench.built("auto").made
    if native == "float32":
        raise NotTested("this device has no lower format of its own")
    require(made.dtype == native, f"auto is {made.dtype}, though {native} is native")
    return {"device": made.device, "dtype": made.dtype}


def tensorfloat32(bench: Bench) -> Numbers:
    """float32 logits are the same bytes with TensorFloat-32 switched on from outside"""
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(ROOT), str(bench.teacher)],
        check=True,
        env={**os.environ, OVERRIDE: "1"},
        capture_output=True,
        text=True,
    )
    digest, precision = found.stdout.splitlines()
    require("tf32" not in precision, f"torch reports {precision}")
    require(digest == digest_of(bench.teacher), "the logits differ")
    return {"logits_sha256": digest[:12], "with_the_override": precision}


_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from scripts.gpu.numbers import digest_of
print(digest_of(Path(sys.argv[2])))
from mixkd.shared.models.kernels import float32_precision
print(float32_precision())
"""


def digest_of(folder: Path) -> str:
    """Return the digest of a teacher's float32 logits on fixed ids, on this machine's device."""
    from mixkd.shared.mixup import MixBatch
    from mixkd.shared.models.locate import locate
    from mixkd.teacher_cache.teacher import Teacher

    columns = (0, 1, 2)
    teacher = Teacher.load(locate(str(folder)), columns, mask="union", max_length=64)
    ids = np.random.default_rng(0).integers(4, 400, (2, ROWS_COMPARED, 48))
    ones, lam = np.ones_like(ids[0]), np.full(ROWS_COMPARED, 0.3, np.float32)
    batch = MixBatch(ids[0], ids[1], None, None, ones, ones, lam)
    return hashlib.sha256(teacher.score(batch).tobytes()).hexdigest()


def attention_kernels(bench: Bench) -> Numbers:
    """Which attention runs in each format; cuDNN's does not"""
    bench.needs_card()
    import torch
    from torch.profiler import ProfilerActivity, profile

    teacher, batch = bench.loaded(), _batch(bench, 64)
    used: dict[str, list[str]] = {}
    for dtype in ("float32", "bfloat16", "float16"):
        teacher.dtype = dtype
        teacher.score(batch)
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            teacher.score(batch)
            torch.cuda.synchronize()
        names = [event.key.lower() for event in profiled.key_averages()]
        used[dtype] = sorted({_attention(name) for name in names} - {""}) or ["math"]
    require(all("cuDNN" not in kinds for kinds in used.values()), f"cuDNN's runs: {used}")
    return used


def _attention(kernel: str) -> str:
    """Name the attention that a kernel belongs to; nothing for the others."""
    if not any(part in kernel for part in ATTENTION):
        return ""
    return "cuDNN" if "cudnn" in kernel else "flash" if "flash" in kernel else "memory-efficient"


def unseen_shapes(bench: Bench) -> Numbers:
    """A batch of a new shape costs little more than one of a shape seen before"""
    bench.needs_card()
    import torch

    numbers: Numbers = {}
    teacher = bench.loaded()
    teacher.dtype = "bfloat16"
    for cudnn in (False, True):
        torch.backends.cuda.enable_cudnn_sdp(cudnn)
        first, again = [], []
        try:
            for rows in range(40, 48):
                batch = _batch(bench, rows + 8 * cudnn)
                first.append(_seconds(lambda batch=batch: teacher.score(batch)))
                again.append(_seconds(lambda batch=batch: teacher.score(batch)))
        finally:
            torch.backends.cuda.enable_cudnn_sdp(False)
        numbers["with cuDNN" if cudnn else "without cuDNN"] = {
            "unseen_s": float(np.median(first[1:])),
            "seen_s": float(np.median(again[1:])),
        }
    ours = numbers["without cuDNN"]
    require(ours["unseen_s"] < 3 * ours["seen_s"] + 0.05, "an unseen shape takes much longer")
    return numbers


def cache_in_float32(bench: Bench) -> Numbers:
    """A float32 cache agrees with the CPU's rerun, and a student learns from it"""
    return _cache_and_student(bench, "float32")


def cache_in_auto(bench: Bench) -> Numbers:
    """A cache in the automatic format agrees with the CPU's rerun, and a student learns from it"""
    return _cache_and_student(bench, "auto")


def _cache_and_student(bench: Bench, dtype: str) -> Numbers:
    run = bench.built(dtype)
    bench.verify(dtype)
    losses: list[float] = []
    student = bench.student(dtype, losses, dtype=dtype)
    numbers = {
        "teacher_dtype": run.made.dtype,
        "rows": run.rows,
        "rows_per_second": run.rows_per_second,
        "student_dtype": student.settings.dtype_used,
        "student_steps": student.steps,
        "student_seconds": round(student.seconds, 2),
        "last_loss": round(losses[-1], 4),
    }
    require(bool(losses) and all(map(math.isfinite, losses)), f"losses are {losses}")
    return numbers


def _batch(bench: Bench, rows: int) -> Any:
    """Return a batch of the longest originals."""
    longest = np.argsort(bench.train.lengths, kind="stable")[-rows:]
    return bench.train.originals(longest, 0)


def _seconds(run: Any) -> float:
    """Time a call that ends with its result on the host."""
    began = time.monotonic()
    run()
    return time.monotonic() - began


STEPS: tuple[Step, ...] = (
    automatic_format,
    tensorfloat32,
    attention_kernels,
    unseen_shapes,
    cache_in_float32,
    cache_in_auto,
)
