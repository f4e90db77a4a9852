"""A student's run is killed, or refused by its disk, at every operation: nothing is lost.

After each fault there is a whole student or none, a named error on one line, and `--resume` ends in
the very folder of a run that was never disturbed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import tiers
from tests.commands import run_module
from tests.conftest import Tally

SAMPLE = ("kill:3:28", "kill:153:1", "full:8:60", "failing:20:60", "short:11:80", "limit:0:3")
KILLS = [f"kill:{start}:2" for start in range(2)]
REFUSALS = ["full:0:8", "failing:2:12", "short:4:20", "limit:0:1"]


@pytest.mark.parametrize(
    "wanted",
    [
        tiers.sample(SAMPLE, id="sample"),
        tiers.slow(KILLS[:1], id="even kills"),
        tiers.slow(KILLS[1:], id="odd kills"),
        tiers.slow(REFUSALS, id="refusals"),
    ],
)
def test_faults_at_operations_of_a_run(
    student_cache: Path, tmp_path: Path, wanted: list[str], tally: Tally
) -> None:
    said = run("tests.faults.students", student_cache, tmp_path, *wanted)
    assert said["wrong"] == []
    assert said["points"] > 120
    tally("student faults survived", said["faults"])


def test_runs_that_meet_in_one_folder(student_cache: Path, tmp_path: Path) -> None:
    """One of two goes on; a killed one leaves no claim; nothing that appears is overwritten."""
    assert run("tests.faults.meeting", student_cache, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_fail_together(student_cache: Path, tmp_path: Path) -> None:
    """Two that see different folders, or of which one fails, both end with the same error."""
    found = run("tests.faults.nodes", student_cache, tmp_path)
    expected = {
        "stop": "stopped",
        "no checkpoint": "process 1: expected checkpoint step-00000010, as in process 0, found n",
        "other checkpoint": "step-00000010, as in process 0, found step-00000020",
        "other step": "process 1: expected step 10, as in process 0, found 9",
        "other settings": "the run began with: seed 0, found seed 1",
        "no cache": "elsewhere/MANIFEST.json: expected a seal, found none",
        "unfinished": "shared: expected a new folder, found an unfinished run",
        "full disk": "expected to write it, found No space left on device",
        "resume": "done",
        "finished": "found a finished student",
    }
    assert found.keys() == expected.keys()
    for name, (first, second) in found.items():
        assert first == second, name
        assert expected[name] in first, name


def run(module: str, *arguments: object) -> Any:
    """What a module prints as JSON."""
    return json.loads(run_module(module, *arguments, timeout_s=850).stdout)
