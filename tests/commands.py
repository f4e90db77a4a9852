"""The two commands called where the test runs: an interpreter that imports torch takes seconds.

What only a process shows (exit status, streams, signals, encodings) is tested with real ones.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click
from click.testing import CliRunner

from mixkd.student_train.cli import train_student
from mixkd.teacher_cache.cli import cache_teacher

TOOLS: dict[str, click.Command] = {"cache-teacher": cache_teacher, "train-student": train_student}


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
