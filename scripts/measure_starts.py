"""Measure which of a teacher's layers a student should start from, on real tasks.

    python scripts/measure_starts.py run DATA --model NAME=FOLDER [--work FOLDER] [--task NAME ...]
    python scripts/measure_starts.py table [--work FOLDER] [--results FILE]

For each task and pretrained encoder: a teacher is fine-tuned, its logits are cached with both kinds
of starts of half its depth, and students are trained by KD, equal in everything but start and seed.
DATA holds a folder per task with train.tsv and validation.tsv in GLUE's columns. What is there
already is used again, so a run that was stopped goes on. `table` adds the students that are
finished to the results, one row each, and prints all of these as Markdown: means over seeds, and
paired differences over tasks and seeds with their standard error.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.starts import RULES, layers_by, listed
from mixkd.student_train.results import METRICS, read_metrics

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
SIZES = {6: Size(2000, 3, 500, 4), 12: Size(1000, 3, 300, 4)}  # by the encoder's layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("run", "table"))
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--task", action="append", choices=[task.name for task in TASKS])
    parser.add_argument("--work", type=Path, default=Path("measured"))
    parser.add_argument("--results", type=Path, default=Path("docs/results/starts.csv"))
    given = parser.parse_args()
    if given.command == "table":
        print("\n".join(table(collect(given.work, given.results))))
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


@dataclass(frozen=True, slots=True)
class Student:
    """A row of the results: a student, and its scores on the validation rows."""

    encoder: str
    task: str
    metric: str
    teacher: float
    rule: str
    layers: str
    seed: int
    rows: int
    epochs: int
    early: float
    late: float


def collect(work: Path, results: Path) -> list[Student]:
    """Add the finished students to the results, and return all of them in order."""
    known: dict[tuple[str, str, str, int], Student] = {}
    if results.exists():
        with results.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                student = msgspec.convert(row, Student, strict=False)
                known[_key(student)] = student
    for folder in sorted(work.glob("*/*/students/*")):
        if (folder / METRICS).exists():
            student = _student(folder)
            known[_key(student)] = student
    students = [known[key] for key in sorted(known)]
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in fields(Student)])
        writer.writerows(map(astuple, students))
    return students


def _key(student: Student) -> tuple[str, str, str, int]:
    return student.encoder, student.task, student.rule, student.seed


def _student(folder: Path) -> Student:
    """Read what a finished student left in `work/encoder/task/students/rule-seed`."""
    place, found = folder.parent.parent, read_metrics(folder)
    rule, _, seed = folder.name.rpartition("-")

    def score(epoch: int | None) -> float:
        history = (each for each in found.history if epoch in (None, each.epoch))
        return round(list(history)[-1].metrics[found.split][found.metric], 6)

    cache = Cache.open(place / "shards")
    return Student(
        encoder=place.parent.name,
        task=place.name,
        metric=found.metric,
        teacher=round(cache.seal.scores[found.split][found.metric], 6),
        rule=rule,
        layers=found.student.start.removeprefix("the teacher's layers "),
        seed=int(seed),
        rows=cache.identity.n_train,
        epochs=found.settings.epochs,
        early=score(EARLY),
        late=score(None),
    )


def table(students: Sequence[Student]) -> Iterator[str]:
    """Give the lines of the table, and of what the starts differ in."""
    heads = ["encoder", "task", "metric", "teacher", "start", "seeds", f"after {EARLY} epochs"]
    yield f"| {' | '.join([*heads, 'at the end'])} |"
    yield "|---" * 8 + "|"
    differences: dict[str, list[tuple[float, float]]] = {}
    groups = groupby(students, key=lambda s: (s.encoder, s.task))
    for (encoder, task), group in groups:
        found = {rule: [] for rule in RULES} | {
            rule: list(of_rule) for rule, of_rule in groupby(group, key=lambda s: s.rule)
        }
        for rule, several in found.items():
            if several:
                one, count = several[0], str(len(several))
                cells = [
                    *(encoder, f"{task}, {one.rows} rows, {one.epochs} epochs", one.metric),
                    *(f"{one.teacher:.3f}", f"{rule}: {one.layers}", count),
                    *(spread([s.early for s in several]), spread([s.late for s in several])),
                ]
                yield f"| {' | '.join(cells)} |"
        firsts = {student.seed: student for student in found["first"]}
        for other in found["spread"]:
            if first := firsts.get(other.seed):
                pair = (other.early - first.early, other.late - first.late)
                differences.setdefault(encoder, []).append(pair)
    yield ""
    for encoder, pairs in differences.items():
        early, late = ([pair[k] for pair in pairs] for k in (0, 1))
        yield (
            f"- {encoder}: spread minus first, {len(pairs)} pairs of students: "
            f"{spread(early, error=True)} after {EARLY} epochs, {spread(late, error=True)} at the "
            "end (standard error)"
        )


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
