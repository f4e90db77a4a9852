"""Print a table of a teacher and its students from the files that the tools leave behind.

    python scripts/compare.py CACHE TEACHER STUDENT...

Metrics are those of the last epoch on the first validation split. Parameters are counted in the
weights. The teacher's seconds are read from the file TEACHER.seconds, if it exists; a student's are
those of its training.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.student_train.results import read_metrics

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Line:
    """One model; `None` where a value is not known."""

    name: str
    score: float
    agreement: float | None
    parameters: int
    seconds: float | None


def teacher_line(cache: Path, folder: Path, seconds: float | None) -> Line:
    """Return the teacher's line, with the sealed metric of the cache."""
    scores = _read(cache / "MANIFEST.json")["scores"]
    metric = _read(cache / "cache.json")["metric"]
    split = next(name for name in scores if name != "train")
    return Line("teacher", scores[split][metric], None, parameters(folder), seconds)


def student_line(folder: Path) -> Line:
    """Return the student's line, from its metrics.json."""
    result = read_metrics(folder)
    scores = next(iter(result.validation.values()))
    return Line(
        result.settings.method,
        scores[result.metric],
        scores.get("teacher_agreement"),
        parameters(folder),
        result.seconds,
    )


def parameters(folder: Path) -> int:
    """Count the numbers in the weights, from the header of model.safetensors."""
    with (folder / "model.safetensors").open("rb") as stream:
        size = struct.unpack("<Q", stream.read(8))[0]
        header = json.loads(stream.read(size))
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def table(metric: str, title: str, lines: list[Line]) -> Table:
    """Build the table, one row per model."""
    from rich.table import Table

    drawn = Table(title=title)
    drawn.add_column("model")
    for column in (metric, "agreement with the teacher", "parameters", "seconds"):
        drawn.add_column(column, justify="right")
    for line in lines:
        drawn.add_row(
            line.name,
            f"{line.score:.4f}",
            "" if line.agreement is None else f"{line.agreement:.4f}",
            f"{line.parameters:,}",
            "" if line.seconds is None else f"{line.seconds:.0f}",
        )
    return drawn


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_bytes()))


def main(cache: Path, teacher: Path, students: list[Path]) -> None:
    """Print the table."""
    from rich.console import Console

    seconds = teacher.with_suffix(".seconds")
    taken = float(seconds.read_text()) if seconds.is_file() else None
    lines = [teacher_line(cache, teacher, taken), *(student_line(folder) for folder in students)]
    header = _read(cache / "cache.json")
    rows = _read(cache / "MANIFEST.json")["rows"]
    title = (
        f"{header['about']['task']}: {rows['originals']} originals and {rows['pairs']} pairs cached"
    )
    Console().print(table(header["metric"], title, lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
