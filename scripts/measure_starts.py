"""Measure which of a teacher's layers a student should start from, on real tasks.

    python scripts/measure_starts.py run DATA --model NAME=FOLDER [--work FOLDER] [--task NAME ...]
    python scripts/measure_starts.py table [--work FOLDER]

For each task and pretrained encoder: a teacher is fine-tuned, its logits are cached with both kinds
of starts of half its depth, and students are trained by KD, equal in everything but start and seed.
DATA holds a folder per task with train.tsv and validation.tsv in GLUE's columns. What is there
already is used again, so a run that was stopped goes on. `table` prints what is finished as
Markdown: means over seeds, and paired differences over tasks and seeds with their standard error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.starts import RULES, layers_by, listed
from mixkd.student_train.results import TrainResult, read_metrics

SEEDS = (0, 1, 2)
EARLY = 2  # epochs after which a student is looked at as well
MAX_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Task:
    """A task, and how many rows a teacher is trained on and a model validated on."""

    name: str
    text_columns: str
    validation: int = 500


@dataclass(frozen=True, slots=True)
class Size:
    """How much is trained with an encoder: fixed before anything was run.

    Attributes:
        teacher_rows: Train rows of the teacher; `student_rows` of them are the students'.
    """

    teacher_rows: int
    teacher_epochs: int
    student_rows: int
    student_epochs: int


TASKS = (
    Task("sst2", "sentence"),
    Task("cola", "sentence"),
    Task("banking77", "sentence", validation=1000),
    Task("snli", "sentence1,sentence2"),
)
SIZES = {6: Size(2000, 3, 800, 6), 12: Size(1000, 3, 500, 4)}  # by the encoder's layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("run", "table"))
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--task", action="append", choices=[task.name for task in TASKS])
    parser.add_argument("--work", type=Path, default=Path("measured"))
    given = parser.parse_args()
    if given.command == "table":
        print("\n".join(table(given.work)))
        return
    tasks = [task for task in TASKS if task.name in (given.task or [each.name for each in TASKS])]
    for model in given.model:
        name, _, folder = model.partition("=")
        for task in tasks:
            measure(task, given.data, name, Path(folder), given.work)


def measure(task: Task, data: Path, name: str, encoder: Path, work: Path) -> None:
    """Make the teacher, its cache and the students of one task."""
    from transformers import AutoConfig

    depth = AutoConfig.from_pretrained(encoder).num_hidden_layers
    size = SIZES[depth]
    place = work / name / task.name
    sample(data / task.name, place / "data", size.teacher_rows, task.validation)
    columns = ["--task", task.name, "--data", f"{place}/data", "--text-columns", task.text_columns]
    teacher, shards = place / "teacher", place / "shards"
    if not (teacher / "config.json").exists():
        shutil.rmtree(teacher, ignore_errors=True)
        length = ["--max-length", str(MAX_LENGTH), "--epochs", str(size.teacher_epochs)]
        rate = ["--batch-size", "16", "--learning-rate", "1e-4" if depth == 6 else "5e-5"]
        out = ["--model", str(encoder), "--out", str(teacher)]
        run("teacher_cache", "finetune", *columns, *length, *rate, *out)
    part = ["--subset", str(size.student_rows / size.teacher_rows), "--pairs", "0"]
    out = ["--teacher", str(teacher), "--out", str(shards), "--max-length", str(MAX_LENGTH)]
    starts = ["--starts", ",".join(RULES), "--min-teacher-score", "0"]
    run("teacher_cache", *columns, *part, *out, *starts)
    for seed in SEEDS:
        for rule in RULES:
            student = place / "students" / f"{rule}-{seed}"
            if (student / "config.json").exists():
                continue
            layers = ["--layers", listed(layers_by(rule, depth // 2, depth)), "--seed", str(seed)]
            length = ["--epochs", str(size.student_epochs), "--batch-size", "16"]
            rate = ["--learning-rate", "1e-4", "--method", "kd", "--keep", "last"]
            length += ["--eval-steps", str(EARLY * -(-size.student_rows // 16))]
            out = ["--cache", str(shards), "--out", str(student), "--resume"]
            run("student_train", *layers, *length, *rate, *out)


def run(tool: str, *arguments: str) -> None:
    """Run one of the commands, and say which."""
    print("+", tool, *arguments, flush=True)
    command = [sys.executable, "-m", f"mixkd.{tool}.cli", *arguments]
    subprocess.run(command, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})


def sample(source: Path, target: Path, train: int, validation: int) -> None:
    """Write some rows of each split, drawn with a fixed seed, and the names of labels."""
    if (target / "validation.tsv").exists():
        return
    target.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("validation", validation)):
        lines = (source / f"{split}.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")
        rows = np.random.default_rng(0).permutation(len(lines) - 1)[:count]
        kept = [lines[0], *(lines[1 + row] for row in sorted(rows.tolist()))]
        (target / f"{split}.tsv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    if (names := source / "label_names.txt").exists():
        shutil.copy(names, target)


def table(work: Path) -> Iterator[str]:
    """Print the finished students as Markdown."""
    yield "| encoder | task | teacher | start | epochs | after 2 epochs | at the end |"
    yield "|---|---|---|---|---|---|---|"
    differences: dict[str, list[tuple[float, float]]] = {}
    for shards in sorted(work.glob("*/*/shards")):
        place, cache = shards.parent, Cache.open(shards)
        found = {rule: students(place, rule) for rule in RULES}
        metric = cache.header.metric
        teacher = cache.seal.scores["validation"][metric]
        for rule, results in found.items():
            if not results:
                continue
            early, late = ([score(each, at) for each in results] for at in (EARLY, None))
            yield (
                f"| {place.parent.name} | {place.name} ({metric}, {len(results)} seeds) "
                f"| {teacher:.3f} | {results[0].student.start.removeprefix('the teacher')[3:]} "
                f"({rule}) | {results[0].settings.epochs} | {spread(early)} | {spread(late)} |"
            )
        for first, other in zip(found["first"], found["spread"], strict=False):
            pair = tuple(score(other, at) - score(first, at) for at in (EARLY, None))
            differences.setdefault(place.parent.name, []).append((pair[0], pair[1]))
    yield ""
    for encoder, pairs in differences.items():
        early, late = ([pair[k] for pair in pairs] for k in (0, 1))
        yield (
            f"{encoder}: spread minus first, {len(pairs)} runs each: after {EARLY} epochs "
            f"{spread(early, error=True)}, at the end {spread(late, error=True)} (standard error)"
        )


def students(place: Path, rule: str) -> list[TrainResult]:
    folders = (place / "students" / f"{rule}-{seed}" for seed in SEEDS)
    return [read_metrics(folder) for folder in folders if (folder / "metrics.json").exists()]


def score(result: TrainResult, epoch: int | None) -> float:
    """Return the headline metric after an epoch, or after the last."""
    found = (each for each in result.history if epoch in (None, each.epoch))
    return list(found)[-1].metrics["validation"][result.metric]


def spread(values: Sequence[float], error: bool = False) -> str:
    """Show a mean, and the standard deviation or the standard error of the mean."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    deviation = statistics.stdev(values)
    return (
        f"{statistics.mean(values):+.3f} ± {deviation / len(values) ** 0.5:.3f}"
        if error
        else (f"{statistics.mean(values):.3f} ± {deviation:.3f}")
    )


if __name__ == "__main__":
    main()
