"""What a run reports: its result, the table of teacher against student, and a line per epoch."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared import FORMAT_VERSION
from mixkd.shared.cache.runs import teacher_speed
from mixkd.shared.cards import credits_of, hub_id, is_on_hub
from mixkd.shared.errors import printable
from mixkd.shared.models.speed import Speed, measure
from mixkd.student_train.results import (
    CacheReference,
    CardFacts,
    Metrics,
    RunSettings,
    StudentFacts,
    TrainResult,
)
from mixkd.student_train.verdict import baseline, judge

if TYPE_CHECKING:
    from rich.table import Table

    from mixkd.shared.cache.reader import Cache
    from mixkd.student_train.options import TrainOptions
    from mixkd.student_train.prepare import Setup
    from mixkd.student_train.state import Run

log = logging.getLogger(__name__)
PACKAGES = ("mixkd", "torch", "transformers", "accelerate", "numpy", "pyarrow")
# What a card says of a cache; of a stranger's, no more than so many characters each.
ABOUT = (
    *("task", "data", "data_config", "data_revision", "data_license", "data_language"),
    *("teacher", "teacher_revision", "license", "language", "subset"),
)
SHOWN = 200
FLOAT32_BYTES = 4  # of a teacher's number: it is loaded in float32, whatever its files hold
DTYPES_USED = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def result_of(
    options: TrainOptions, setup: Setup, run: Run, steps: int, accelerator: Any
) -> TrainResult:
    """Judge the student after so many steps, and put together what a run returns.

    It names no local path.
    """
    cache, model = setup.caches[0], setup.start.student.model
    headline, history, teacher = setup.headline, run.history, setup.teacher
    best = history[headline.best(history)]
    kept = best if options.keep == "best" else history[-1]
    settings, pairs = _settings(options, setup, accelerator), cache.seal.rows.pairs
    validation, identity = setup.validator.examples[headline.split], cache.identity
    names = identity.label_names
    against = baseline(headline, validation.labels, names, identity.problem_type)
    verdict = judge(headline, history, kept.metrics, teacher, against, settings, pairs)
    if not verdict.better:
        log.warning("the student is %s", verdict.summary)
    return TrainResult(
        task=_text(cache.about.get("task")),
        metric=headline.metric,
        split=headline.split,
        score=headline.score(kept.metrics),
        teacher_score=headline.score(teacher),
        verdict=verdict,
        kept=kept.point,
        best=best.point,
        metrics=kept.metrics,
        teacher_metrics=teacher,
        history=tuple(history),
        student=StudentFacts(
            start=_start_name(options, cache),
            model_type=model.config.model_type,
            parameters=setup.start.student.parameter_count,
            problem_type=identity.problem_type,
            labels=tuple(model.config.id2label.values()),
        ),
        speed=speed_of(setup, run, accelerator),
        teacher_speed=teacher_speed(cache.root),
        seconds=round(run.seconds, 3),
        steps=steps,
        planned_steps=setup.steps,
        mixes_trained=run.mixes,
        pairs_seen=min(run.mixes, setup.order.pairs),
        pairs_in_cache=pairs,
        seal=cache.pin,
        caches=tuple(map(_reference, setup.caches)),
        settings=settings,
        versions={**versions(), "python": platform.python_version(), "format": FORMAT_VERSION},
        card=card_facts(options, cache),
    )


def speed_of(setup: Setup, run: Run, accelerator: Any) -> Speed:
    """Measure the student on the headline's split, unless that was done."""
    validator = setup.validator
    return run.speed or measure(
        setup.start.student,
        validator.examples[setup.headline.split],
        accelerator.device,
        validator.at_once,
        accelerator.autocast,
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
    """Build the table of the teacher against the kept student, one row per metric or fact."""
    from rich.markup import escape
    from rich.table import Table

    title = f"{printable(result.task or 'student')}: teacher against student, {kept(result)}"
    drawn = Table(title=escape(title))
    drawn.add_column("metric")
    drawn.add_column("teacher", justify="right")
    drawn.add_column("student", justify="right")
    for row in (*metric_rows(result), *fact_rows(result)):
        drawn.add_row(*map(escape, row))
    return drawn


def closing(result: TrainResult) -> list[str]:
    """Return the verdict in lines, and what to try."""
    verdict = result.verdict
    lines = [("" if verdict.better else "WARNING: ") + f"the student is {verdict.summary}"]
    if result.steps < result.planned_steps:
        lines.append(
            f"ended early: step {result.steps:,} of {result.planned_steps:,}, "
            f"the best was step {result.best.step:,}"
        )
    if verdict.advice:
        lines.append(f"to try: {'; '.join(verdict.advice)}")
    return lines


def kept(result: TrainResult) -> str:
    """Say which weights are saved: `weights of epoch 3 (best)`."""
    return f"weights of epoch {result.kept.epoch:g} ({result.settings.keep})"


def fact_rows(result: TrainResult) -> list[tuple[str, str, str]]:
    """Return size and speed like `metric_rows`, the teacher's as far as its cache notes it."""
    speed, teacher = result.speed, result.teacher_speed
    device = result.settings.device_used
    parameters = teacher.parameters if teacher else None
    latency = teacher.latency_ms if teacher else None
    return [
        ("parameters", f"{parameters:,}" if parameters else "", f"{speed.parameters:,}"),
        (
            "weights, MB",
            f"{parameters * FLOAT32_BYTES / 1e6:,.1f}" if parameters else "",
            f"{speed.size_mb:,.1f}",
        ),
        (
            "examples per second",
            f"{teacher.examples_per_second:,.0f} ({printable(teacher.device)})" if teacher else "",
            f"{speed.examples_per_second:,.0f} ({device})",
        ),
        (
            "ms for one example",
            f"{latency:.1f} ({printable(teacher.device)})" if teacher and latency else "",
            f"{speed.latency_ms:.1f} ({device})",
        ),
    ]


def metric_rows(result: TrainResult) -> list[tuple[str, str, str]]:
    """Return (split and metric, the teacher's value or nothing, the student's value) as text."""
    return [
        (
            f"{split} {name.replace('_', ' ')}",
            f"{result.teacher_metrics[split][name]:.4f}"
            if name in result.teacher_metrics[split]
            else "",
            f"{value:.4f}",
        )
        for split, metrics in result.metrics.items()
        for name, value in metrics.items()
    ]


def _settings(options: TrainOptions, setup: Setup, accelerator: Any) -> RunSettings:
    plain = options.settings() | {"max_length": setup.max_length, "eval_steps": setup.eval_steps}
    given = {name: value for name, value in plain.items() if not name.startswith("alpha_")}
    return RunSettings(
        **given,
        weights=options.all_weights,
        mask=setup.caches[0].identity.mixup.mask,
        processes=setup.world,
        device_used=accelerator.device.type,
        dtype_used=DTYPES_USED[accelerator.mixed_precision],
    )


def _reference(cache: Cache) -> CacheReference:
    teacher = _text(cache.about.get("teacher"))
    return CacheReference(cache.name, cache.identity.fingerprint, cache.pin, teacher)


def card_facts(options: TrainOptions, cache: Cache) -> CardFacts:
    """Return what the card of a run says beside its numbers; a stranger's words are cut."""
    about = {name: str(cache.about[name])[:SHOWN] for name in ABOUT if name in cache.about}
    teacher = hub_id(cache.about.get("teacher"), cache.about.get("teacher_revision"))
    given = options.student
    base = teacher if given is None else given if is_on_hub(given) else None
    two_texts = cache.examples().text_b is not None
    return CardFacts(options.command, base, two_texts, about, credits_of(options))


def _start_name(options: TrainOptions, cache: Cache) -> str:
    if options.student is None:
        return f"the teacher's layers {', '.join(map(str, cache.start(options.layers)))}"
    path = Path(options.student)
    return path.resolve().name if path.exists() else options.student


def _text(value: object) -> str | None:
    return None if value is None else str(value)
