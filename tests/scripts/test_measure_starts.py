"""The table of starts, from results that were written down; how they are measured is a slow run."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADER = "encoder,task,metric,teacher,rule,layers,seed,rows,epochs,early,late\n"
ROWS = """\
bert,films,accuracy,0.9,first,"0, 1",0,800,6,0.5,0.75
bert,films,accuracy,0.9,first,"0, 1",1,800,6,0.5,0.85
bert,films,accuracy,0.9,spread,"0, 3",0,800,6,0.75,0.75
bert,films,accuracy,0.9,spread,"0, 3",1,800,6,0.65,0.95
"""


@pytest.fixture(scope="module")
def script() -> Any:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "measure_starts.py")))


def test_the_table(script: Any, tmp_path: Path) -> None:
    results = tmp_path / "starts.csv"
    results.write_text(HEADER + ROWS, encoding="utf-8")
    students = script.collect(tmp_path / "nothing measured", results)
    assert results.read_text(encoding="utf-8") == HEADER + ROWS  # nothing is lost, none is added
    lines = list(script.table(students))
    # By hand: gains 0.25 and 0.15, and 0 and 0.1; of two, the standard error is half the distance.
    assert lines[2:] == [
        "| bert | films, 800 rows, 6 epochs | accuracy | 0.900 | first: 0, 1 | 2 "
        "| 0.500 ± 0.000 | 0.800 ± 0.071 |",
        "| bert | films, 800 rows, 6 epochs | accuracy | 0.900 | spread: 0, 3 | 2 "
        "| 0.700 ± 0.071 | 0.850 ± 0.141 |",
        "",
        "- bert: spread minus first, 2 pairs of students: +0.200 ± 0.050 after 2 epochs, "
        "+0.050 ± 0.050 at the end (standard error)",
    ]


def test_results_of_something_else_are_refused_and_stay(script: Any, tmp_path: Path) -> None:
    results = tmp_path / "starts.csv"
    results.write_text(HEADER + ROWS.replace("0.5,", "half,"), encoding="utf-8")
    before = results.read_bytes()
    with pytest.raises(msgspec.ValidationError, match="early"):
        script.collect(tmp_path, results)
    assert results.read_bytes() == before
