"""What a run tells: metrics.json, the model card, and the table of teacher against student."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared import FORMAT_VERSION
from mixkd.shared.errors import printable
from mixkd.shared.metrics import REGRESSION
from mixkd.shared.metrics import metrics as scores_of
from mixkd.student_train.evaluate import calibration_error, headline

if TYPE_CHECKING:
    from rich.table import Table

    from mixkd.shared.cache.reader import Cache
    from mixkd.student_train.checkpoints import Run
    from mixkd.student_train.options import TrainOptions
    from mixkd.student_train.prepare import Setup

PACKAGES = ("mixkd", "torch", "transformers", "accelerate", "numpy", "pyarrow")
DTYPES_USED = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def metrics(options: TrainOptions, setup: Setup, run: Run, accelerator: Any) -> dict[str, Any]:
    """The content of metrics.json; plain JSON values, no local path."""
    cache, model = setup.caches[0], setup.start.student.model
    last = run.history[-1]
    split = next(iter(last["validation"]))
    name = headline(cache.header.metric, last["validation"][split])
    best = max(run.history, key=lambda epoch: float(epoch["validation"][split][name]))
    mixes = setup.order.pairs_per_epoch * options.epochs
    return {
        "task": cache.about.get("task"),
        "metric": name,
        "validation": last["validation"],
        "best_epoch": {"chosen_by": f"{split}/{name}", **best},
        "teacher": teacher_scores(setup),
        "history": run.history,
        "student": {
            "start": _start_name(options, setup),
            "model_type": model.config.model_type,
            "parameters": setup.start.student.parameter_count,
            "labels": list(model.config.id2label.values()),
        },
        "seconds": round(run.seconds, 3),
        "steps": setup.order.steps_per_epoch * options.epochs,
        "mixes_trained": mixes,
        "pairs_seen": min(mixes, setup.order.pairs),
        "pairs_in_cache": cache.seal.rows.pairs,
        "seal": cache.pin,
        "caches": [_cache(cache) for cache in setup.caches],
        "settings": {
            **options.settings(),
            "max_length": cache.identity.max_length,
            "mask": cache.identity.mixup.mask,
            "processes": setup.world,
            "device_used": accelerator.device.type,
            "dtype_used": DTYPES_USED[accelerator.mixed_precision],
        },
        "versions": {**versions(), "python": platform.python_version(), "format": FORMAT_VERSION},
    }


def teacher_scores(setup: Setup) -> dict[str, dict[str, float]]:
    """The teacher's validation scores from the stored logits, with its calibration error."""
    found = {}
    identity = setup.caches[0].identity
    for split in (split.name for split in identity.splits[1:]):
        labels, logits = setup.start.examples[split].labels, setup.teacher[split]
        found[split] = scores_of(logits, labels, identity.problem_type)
        if identity.problem_type != REGRESSION:
            found[split]["calibration_error"] = calibration_error(logits, labels)
    return found


def _cache(cache: Cache) -> dict[str, Any]:
    return {
        "name": cache.name,
        "fingerprint": cache.identity.fingerprint,
        "seal": cache.pin,
        "teacher": cache.about.get("teacher"),
    }


def scores_line(found: Mapping[str, Mapping[str, float]]) -> str:
    """Each split's scores on one line."""
    return "; ".join(
        f"{split} " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        for split, scores in found.items()
    )


def versions() -> dict[str, str]:
    import torch

    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    # Its build (cpu, cu130, …) decides about bits, and only the module itself is sure to say it.
    return {**found, "torch": torch.__version__}


def table(found: Mapping[str, Any]) -> Table:
    """Teacher against student, last epoch, a row a metric."""
    from rich.markup import escape
    from rich.table import Table

    task = escape(printable(found["task"] or "student"))
    result = Table(title=f"{task}: teacher against student")
    result.add_column("metric")
    result.add_column("teacher", justify="right")
    result.add_column("student", justify="right")
    for name, teacher, student in _rows(found):
        result.add_row(name, teacher, student)
    result.add_row("parameters", "", f"{found['student']['parameters']:,}")
    return result


def card(found: Mapping[str, Any]) -> str:
    """The model card: what the student is, how it was trained, how it scores."""
    settings = found["settings"]
    method = settings["method"]
    teachers = ", ".join(f"`{_plain(cache['teacher'])}`" for cache in found["caches"])
    rows = "\n".join(
        f"| {name} | {teacher} | {student} |" for name, teacher, student in _rows(found)
    )
    labels = ", ".join(f"`{_plain(label)}`" for label in found["student"]["labels"])
    return f"""---
library_name: transformers
pipeline_tag: text-classification
tags:
- knowledge-distillation
- mixkd
---

# A student for {_plain(found["task"] or "text classification")}

A `{found["student"]["model_type"]}` of {found["student"]["parameters"]:,} parameters, trained with
the method `{method}` from cached logits of {teachers}. Labels: {labels}.

```python
from transformers import pipeline

classify = pipeline("text-classification", "path/to/this/folder")
classify(["a text"], truncation=True, max_length={settings["max_length"]})
```

| metric (validation, last epoch) | teacher | student |
|---|---|---|
{rows}

Trained for {found["steps"]:,} steps in {found["seconds"]:.0f} seconds on {found["pairs_seen"]:,}
of the cache's {found["pairs_in_cache"]:,} mixup pairs. Cache seal `{found["seal"][:12]}`. All
settings, the best epoch and the history are in `metrics.json`.
"""


def _rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(split and metric, teacher's value or nothing, student's value)."""
    return [
        (
            f"{split} {name.replace('_', ' ')}",
            f"{found['teacher'][split][name]:.4f}" if name in found["teacher"][split] else "",
            f"{value:.4f}",
        )
        for split, scores in found["validation"].items()
        for name, value in scores.items()
    ]


def _start_name(options: TrainOptions, setup: Setup) -> str:
    if options.student is None:
        depth = options.layers or max(setup.caches[0].student_depths)
        return f"the cache's {depth}-layers"
    path = Path(options.student)
    return path.resolve().name if path.exists() else options.student


def _plain(value: object) -> str:
    """Text from a cache, harmless in Markdown."""
    return printable(value).replace("`", "'").replace("|", "/").replace("<", "(")
