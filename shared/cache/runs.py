"""How fast the teacher was when a cache was built: what `runs/` says, which no digest covers."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from mixkd.shared import files
from mixkd.shared.cache.records import GIVEN
from mixkd.shared.errors import MixkdError
from mixkd.shared.json_values import Count, decode

RUNS = "runs"
RUN_LIMIT_BYTES = 64 * 2**10
RUNS_READ = 64
NAME_SHOWN = 60
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Milliseconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]


@dataclass(frozen=True, slots=True)
class TeacherSpeed:
    """What the teacher cost where the cache was built.

    Attributes:
        examples_per_second: Of its pass, mixes included.
        parameters: None where the cache does not say.
        latency_ms: Of one example alone, ids to logits; None where the cache does not say.
    """

    examples_per_second: float
    device: str
    dtype: str
    parameters: int | None = None
    latency_ms: float | None = None


class _Made(msgspec.Struct):
    device: str
    dtype: str


class _Run(msgspec.Struct):
    rows: Count
    rows_per_second: float
    made: _Made
    parameters: Positive | None = None
    latency_ms: Milliseconds | None = None


def teacher_speed(root: Path) -> TeacherSpeed | None:
    """Read the rate of a cache's longest run; None where no file of a run can be read, or where
    logits were given, which says nothing about the model that gave them.

    It is for people only: whoever has the cache can write what they like there.
    """
    runs = [run for run in map(_read, _files(root)) if run is not None]
    longest = max(runs, key=lambda run: run.rows, default=None)
    if longest is None:
        return None
    made = longest.made
    return TeacherSpeed(
        longest.rows_per_second,
        made.device[:NAME_SHOWN],
        made.dtype[:NAME_SHOWN],
        longest.parameters,
        longest.latency_ms,
    )


def _files(root: Path) -> list[Path]:
    try:
        return sorted(itertools.islice((root / RUNS).glob("*.json"), RUNS_READ))
    except OSError:
        return []


def _read(file: Path) -> _Run | None:
    try:
        data = files.read(file.parent, file.name, limit_bytes=RUN_LIMIT_BYTES)
        run = decode(data, _Run, file, RUN_LIMIT_BYTES)
    except (MixkdError, OSError):
        return None
    looked_up = run.made.device == GIVEN  # not computed
    measured = 0 < run.rows_per_second < math.inf and run.rows and not looked_up
    return run if measured else None
