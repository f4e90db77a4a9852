"""Print a table of a teacher and its students from the files that the tools leave behind.

    python scripts/compare.py CACHE TEACHER STUDENT...

A row per student: its folder, its method, and the settings in which it differs from the others.
Metrics are those of the saved weights on the first validation split. Parameters and size are read
from the weights, speed from metrics.json where it has it. The teacher's seconds are read from the
file TEACHER.seconds, if it exists; a student's are those of its training.

Where each method was trained with the same seeds, two or more, and all else is equal, lines below
the table give means over seeds, and differences from the first method, seed by seed.
"""

from __future__ import annotations

import json
import math
import statistics
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared.errors import MissingFileError, MixkdError, printable
from mixkd.student_train.results import TrainResult, read_metrics

if TYPE_CHECKING:
    from rich.table import Table

    from mixkd.shared.cache.runs import TeacherSpeed

WEIGHTS = "model.safetensors"
# What does not tell two runs apart: where they ran, and what follows from the rest.
NOT_COMPARED = {"method", "device", "device_used", "dtype_used", "processes"}


@dataclass(frozen=True, slots=True)
class Line:
    """One model; `None` where a value is not known.

    Attributes:
        settings: Of its training, by name.
    """

    name: str
    method: str
    score: float
    agreement: float | None
    parameters: int
    size_mb: float
    seconds: float | None
    examples_per_second: float | None = None
    latency_ms: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def teacher_line(
    cache: Path, folder: Path, seconds: float | None, speed: TeacherSpeed | None = None
) -> Line:
    """Return the teacher's line, with the sealed metric of the cache."""
    scores = _read(cache / "MANIFEST.json")["scores"]
    metric = _read(cache / "cache.json")["metric"]
    split = next(name for name in scores if name != "train")
    return Line(
        "teacher",
        "",
        scores[split][metric],
        None,
        *weights(folder),
        seconds,
        speed.examples_per_second if speed else None,
        speed.latency_ms if speed else None,
    )


def student_line(folder: Path, result: TrainResult) -> Line:
    """Return the student's line."""
    return Line(
        folder.resolve().name,
        result.settings.method,
        result.score,
        result.metrics[result.split].get("teacher_agreement"),
        *weights(folder),
        result.seconds,
        result.speed.examples_per_second if result.speed else None,
        result.speed.latency_ms if result.speed else None,
        result.settings.to_json() | {"start": result.student.start},
    )


def weights(folder: Path) -> tuple[int, float]:
    """Count the numbers in the weights, and their megabytes, from the header of the file."""
    file = folder / WEIGHTS
    _check(file)
    with file.open("rb") as stream:
        size = struct.unpack("<Q", stream.read(8))[0]
        header = json.loads(stream.read(size))
    shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
    return sum(map(math.prod, shapes)), (file.stat().st_size - 8 - size) / 1e6


def differences(students: Sequence[Line]) -> list[str]:
    """Name, for each student, the settings that are not the same for all of one method."""
    shown = []
    for line in students:
        same = [other.settings for other in students if other.method == line.method]
        names = [
            name
            for name, value in line.settings.items()
            if name not in NOT_COMPARED and any(other.get(name) != value for other in same)
        ]
        shown.append(", ".join(f"{name} {_short(line.settings[name])}" for name in names))
    return shown


def over_seeds(students: Sequence[Line]) -> list[str]:
    """Say how methods compare over seeds; nothing where that cannot be said."""
    scores: dict[str, dict[int, float]] = {}
    for line in students:
        scores.setdefault(line.method, {})[line.settings["seed"]] = line.score
    seeds = [sorted(found) for found in scores.values()]
    alike = all(text.startswith("seed ") and "," not in text for text in differences(students))
    if not alike or len(seeds[0]) < 2 or any(other != seeds[0] for other in seeds):
        return []
    first, lines = next(iter(scores)), []
    for method, found in scores.items():
        said = f"{method}: {_spread(list(found.values()))} over {len(found)} seeds"
        if method != first:
            gains = [found[seed] - scores[first][seed] for seed in seeds[0]]
            error = statistics.stdev(gains) / math.sqrt(len(gains))
            mean = statistics.mean(gains)
            said += f"; minus {first}: {mean:+.4f}, standard error {error:.4f}"
        lines.append(said)
    return lines


def _spread(values: Sequence[float]) -> str:
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return f"{mean:.4f}, standard deviation {deviation:.4f},"


def table(metric: str, title: str, teacher: Line, students: Sequence[Line]) -> Table:
    """Build the table, one row per model; columns that nothing is known of are left out."""
    from rich.markup import escape
    from rich.table import Table

    lines = [teacher, *students]
    columns: dict[str, list[str]] = {
        "model": [line.name for line in lines],
        "method": [line.method for line in lines],
        "differs in": ["", *differences(students)],
        metric: [f"{line.score:.4f}" for line in lines],
        "agreement": [_shown(line.agreement, ".4f") for line in lines],
        "parameters": [f"{line.parameters:,}" for line in lines],
        "MB": [f"{line.size_mb:,.1f}" for line in lines],
        "examples/s": [_shown(line.examples_per_second, ",.0f") for line in lines],
        "ms alone": [_shown(line.latency_ms, ".1f") for line in lines],
        "seconds": [_shown(line.seconds, ".0f") for line in lines],
    }
    columns = {name: values for name, values in columns.items() if any(values)}
    drawn = Table(title=escape(printable(title)))
    for name in columns:
        is_text = name in ("model", "method", "differs in")
        longest = max(map(len, columns[name]))
        drawn.add_column(
            name,
            justify="left" if is_text else "right",
            overflow="fold",
            min_width=min(longest, 10),
        )
    for row in zip(*columns.values(), strict=True):
        drawn.add_row(*(escape(printable(value)) for value in row))
    return drawn


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check(file: Path) -> None:
    if not file.is_file():
        raise MissingFileError(
            file,
            expected="a file",
            found="none",
            do="name a cache, its teacher's folder, then folders of finished students",
        )


def _read(file: Path) -> dict[str, Any]:
    _check(file)
    return dict(json.loads(file.read_bytes()))


def _named_apart(lines: list[Line], folders: list[Path]) -> list[Line]:
    """Show the whole path of folders of one name."""
    count = Counter(line.name for line in lines)
    names = [
        str(folder) if count[line.name] > 1 else line.name
        for line, folder in zip(lines, folders, strict=True)
    ]
    return [replace(line, name=name) for line, name in zip(lines, names, strict=True)]


def main(cache: Path, teacher: Path, students: list[Path]) -> None:
    """Print the table."""
    from rich.console import Console

    seconds = teacher.with_suffix(".seconds")
    taken = float(seconds.read_text()) if seconds.is_file() else None
    results = [read_metrics(folder) for folder in students]
    lines = _named_apart([*map(student_line, students, results)], students)
    noted = (result.teacher_speed for result in results)
    first = teacher_line(cache, teacher, taken, next(filter(None, noted), None))
    header = _read(cache / "cache.json")
    rows = _read(cache / "MANIFEST.json")["rows"]
    title = (
        f"{header['about']['task']}: {rows['originals']} originals and {rows['pairs']} pairs cached"
    )
    Console().print(table(header["metric"], title, first, lines))
    for line in over_seeds(lines):
        print(line)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: python scripts/compare.py CACHE TEACHER STUDENT...")
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    except MixkdError as error:
        sys.exit(f"error: {error}")
