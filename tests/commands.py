"""The two commands called where the test runs: an interpreter that imports torch takes seconds.

What only a process shows (exit status, streams, signals, encodings) is tested with real ones.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner

from mixkd.shared.command import DefaultGroup
from mixkd.student_train.cli import train_student
from mixkd.teacher_cache.cli import cache_teacher

ROOT = Path(__file__).resolve().parents[1]
TOOLS: dict[str, DefaultGroup] = {"cache-teacher": cache_teacher, "train-student": train_student}


def run(line: str, folder: Path | None = None) -> str:
    """The standard output of a command line that succeeds, called in `folder`."""
    tool, *words = shlex.split(line)
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        found = CliRunner().invoke(TOOLS[tool], words, catch_exceptions=False)
    finally:
        os.chdir(before)
    assert found.exit_code == 0, found.output
    return found.stdout


def run_module(
    module: str, *arguments: object, launcher: Sequence[str] = (), timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """A module run as a process that succeeds, or as several that a launcher starts."""
    found = subprocess.run(
        [sys.executable, *launcher, "-m", module, *map(str, arguments)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert found.returncode == 0, found.stderr
    return found
