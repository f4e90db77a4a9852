"""What a run reports: its result, the table of teacher against student, and a line per epoch."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared import FORMAT_VERSION
from mixkd.shared.errors import printable
from mixkd.student_train.evaluate import headline
from mixkd.student_train.results import (
    BestEpoch,
    CacheReference,
    Metrics,
    RunSettings,
    StudentFacts,
    TrainResult,
)

if TYPE_CHECKING:
    from rich.table import Table

    from mixkd.shared.cache.reader import Cache
    from mixkd.student_train.options import TrainOptions
    from mixkd.student_train.prepare import Setup
    from mixkd.student_train.state import Run

PACKAGES = ("mixkd", "torch", "transformers", "accelerate", "numpy", "pyarrow")
DTYPES_USED = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def result_of(options: TrainOptions, setup: Setup, run: Run, accelerator: Any) -> TrainResult:
    """Put together what a run returns; it names no local path."""
    cache, model = setup.caches[0], setup.start.student.model
    last = run.history[-1]
    split = next(iter(last.validation))
    metric = headline(cache.header.metric, last.validation[split])
    best = max(run.history, key=lambda epoch: epoch.validation[split][metric])
    mixes = setup.order.pairs_per_epoch * setup.epochs
    return TrainResult(
        task=_text(cache.about.get("task")),
        metric=metric,
        validation=last.validation,
        best_epoch=BestEpoch(f"{split}/{metric}", best.epoch, best.validation),
        teacher=setup.validator.teacher_metrics(),
        history=tuple(run.history),
        student=StudentFacts(
            start=_start_name(options, cache),
            model_type=model.config.model_type,
            parameters=setup.start.student.parameter_count,
            labels=tuple(model.config.id2label.values()),
        ),
        seconds=round(run.seconds, 3),
        steps=setup.epochs * setup.order.steps_per_epoch,
        mixes_trained=mixes,
        pairs_seen=min(mixes, setup.order.pairs),
        pairs_in_cache=cache.seal.rows.pairs,
        seal=cache.pin,
        caches=tuple(map(_reference, setup.caches)),
        settings=_settings(options, setup, accelerator),
        versions={**versions(), "python": platform.python_version(), "format": FORMAT_VERSION},
    )


def metrics_line(validation: Mapping[str, Metrics]) -> str:
    """Return the metrics of each split on one line."""
    return "; ".join(
        f"{split} " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        for split, metrics in validation.items()
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide the outcome."""
    import torch

    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    # Its build (cpu, cu130, …) changes bits, and only the module itself is sure to name it.
    return {**found, "torch": str(torch.__version__)}


def table(result: TrainResult) -> Table:
    """Build the table of teacher against student after the last epoch, one row per metric."""
    from rich.markup import escape
    from rich.table import Table

    title = f"{printable(result.task or 'student')}: teacher against student"
    drawn = Table(title=escape(title))
    drawn.add_column("metric")
    drawn.add_column("teacher", justify="right")
    drawn.add_column("student", justify="right")
    for name, teacher, student in metric_rows(result):
        drawn.add_row(name, teacher, student)
    drawn.add_row("parameters", "", f"{result.student.parameters:,}")
    return drawn


def metric_rows(result: TrainResult) -> list[tuple[str, str, str]]:
    """Return (split and metric, the teacher's value or nothing, the student's value) as text."""
    return [
        (
            f"{split} {name.replace('_', ' ')}",
            f"{result.teacher[split][name]:.4f}" if name in result.teacher[split] else "",
            f"{value:.4f}",
        )
        for split, metrics in result.validation.items()
        for name, value in metrics.items()
    ]


def _settings(options: TrainOptions, setup: Setup, accelerator: Any) -> RunSettings:
    identity = setup.caches[0].identity
    plain = options.settings()
    given = {name: value for name, value in plain.items() if not name.startswith("alpha_")}
    return RunSettings(
        **given,
        weights=options.all_weights,
        max_length=identity.max_length,
        mask=identity.mixup.mask,
        processes=setup.world,
        device_used=accelerator.device.type,
        dtype_used=DTYPES_USED[accelerator.mixed_precision],
    )


def _reference(cache: Cache) -> CacheReference:
    teacher = _text(cache.about.get("teacher"))
    return CacheReference(cache.name, cache.identity.fingerprint, cache.pin, teacher)


def _start_name(options: TrainOptions, cache: Cache) -> str:
    if options.student is None:
        return f"the teacher's layers {', '.join(map(str, cache.start(options.layers)))}"
    path = Path(options.student)
    return path.resolve().name if path.exists() else options.student


def _text(value: object) -> str | None:
    return None if value is None else str(value)
