"""The command as a process: help, streams, exit codes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixkd.shared.errors import OutputError
from mixkd.student_train.cli import train_student
from tests.commands import run as run_here

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "mixkd.student_train.cli")
FAST = ("--epochs", "1", "--batch-size", "8", "--device", "cpu")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_help_ends_in_an_example_and_lists_every_option() -> None:
    found = run("--help")
    assert found.returncode == 0
    assert "train-student --cache shards/rte" in found.stdout.rstrip().splitlines()[-1]
    for parameter in train_student.params:
        assert all(name in found.stdout for name in parameter.opts)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from mixkd.student_train.cli import train_student\n"
        "try: train_student(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'accelerate', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert found.stderr.strip() == "[]"


def test_results_go_to_stdout_and_the_log_to_stderr(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "a student's folder ü"
    found = run("--cache", cache, "--out", out, "--json", *FAST)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == json.loads((out / "metrics.json").read_text())
    assert "(sealed) · 160/160 rows" in found.stderr
    assert "Traceback" not in found.stderr and "Warning" not in found.stderr
    again = run("--cache", cache, "--out", out, *FAST)
    assert again.returncode == 1 and again.stdout == ""
    assert "expected a new folder, or an unfinished run, found a finished student" in again.stderr
    assert again.stderr.count("\n") == 1


def test_the_table_compares_teacher_and_student(cache: Path, tmp_path: Path) -> None:
    line = shlex.join(["train-student", "--cache", str(cache), "--method", "ft", *FAST])
    shown = run_here(line, tmp_path)
    assert "teacher against student" in shown and "validation accuracy" in shown
    assert (tmp_path / "students" / "two" / "config.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--cache", "nowhere"],
            1,
            "error: nowhere: expected the folder of a cache, found nothing",
        ),
        (["--cache", "pyproject.toml"], 1, "expected the folder of a cache"),
        (["--cache", "tests"], 1, "expected a seal, found none"),
        ([], 2, "Missing option '--cache'"),
        (["--cache", "x", "--epochs", "0"], 2, "error: --epochs: expected a number from 1 to"),
        (["--cache", "x", "--method", "magic"], 2, "'magic' is not one of"),
        (["--cache", "x", "--epochs", "many"], 2, "'many' is not a valid integer"),
    ],
)
def test_bad_input_is_told_in_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    found = run(*arguments, *(["--out", tmp_path / "student"] if arguments else []))
    assert found.returncode == code
    assert message in found.stderr
    assert "Traceback" not in found.stderr and found.stdout == ""


def test_a_second_run_ends_at_once_and_sigterm_saves_and_exits_143(
    cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    arguments = ["--cache", str(cache), "--out", str(out), "--epochs", "10000", "--log-steps", "1"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    deadline = time.monotonic() + 180
    while "step 1/" not in process.stderr.readline():
        assert time.monotonic() < deadline
    second = CliRunner().invoke(train_student, [*arguments, "--device", "cpu", "--resume"])
    assert isinstance(second.exception, OutputError) and second.exception.exit_code == 1
    assert "expected a folder that no other run writes, found a run" in str(second.exception)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 143
    assert "continue with --resume" in errors and "Traceback" not in errors
    assert len(list((out / "checkpoints").glob("step-*"))) == 1
