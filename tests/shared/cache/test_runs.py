"""The teacher's rate from `runs/`, where anybody may have written anything."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.cache.runs import TeacherSpeed, teacher_speed

RUN: dict[str, Any] = {
    "rows": 100,
    "rows_per_second": 50.0,
    "seconds": 2.0,
    "made": {"device": "cpu", "dtype": "float32", "torch": "2"},
}


def write(root: Path, name: str, **changes: Any) -> None:
    (root / "runs").mkdir(exist_ok=True)
    (root / "runs" / f"{name}.json").write_text(json.dumps(RUN | changes))


def test_the_longest_run_counts(tmp_path: Path) -> None:
    assert teacher_speed(tmp_path) is None
    write(tmp_path, "a")
    write(tmp_path, "b", rows=7000, rows_per_second=80.5)
    write(tmp_path, "c", rows=10, parameters=7, latency_ms=0.5)
    assert teacher_speed(tmp_path) == TeacherSpeed(80.5, "cpu", "float32")
    write(tmp_path, "d", rows=9000, parameters=11, latency_ms=2.5)
    assert teacher_speed(tmp_path) == TeacherSpeed(50.0, "cpu", "float32", 11, 2.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 0},
        {"rows": "many"},
        {"rows_per_second": 0.0},
        {"rows_per_second": -3.0},
        {"made": {}},
        {"parameters": -1},
        {"parameters": "many"},
        {"latency_ms": 1e300},
        {"made": {"device": "given", "dtype": "given"}},
        {"more": "x" * 2**17},
    ],
)
def test_what_no_run_writes_counts_for_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path, "a", **changes)
    assert teacher_speed(tmp_path) is None


def test_places_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    os.mkfifo(tmp_path / "runs" / "a.json")
    (tmp_path / "runs" / "b.json").mkdir()
    (tmp_path / "runs" / "c.json").symlink_to(tmp_path / "nothing")
    assert teacher_speed(tmp_path) is None
