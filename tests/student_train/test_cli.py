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

import click
import pytest
import yaml
from click.testing import CliRunner

from mixkd.shared.errors import OutputError
from mixkd.student_train.cli import train_student
from mixkd.student_train.results import read_metrics
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
    found = run("train", "--help")
    assert found.returncode == 0
    assert "train-student --cache shards/rte" in found.stdout.rstrip().splitlines()[-1]
    for parameter in train_student.commands["train"].params:
        named = parameter.opts if isinstance(parameter, click.Option) else ["[CACHE]..."]
        assert all(name in found.stdout for name in named)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from mixkd.student_train.cli import train_student\n"
        "try: train_student(['train', '--help'])\n"
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
    assert again.stderr.count("error: ") == 1 and "Traceback" not in again.stderr


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
        (["--epochs", "1"], 2, "Missing option '--cache'"),
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", [(), ("-m", "torch.distributed.run", "--nproc-per-node", "2")], ids=["one", "two"]
)
def test_a_folder_with_packages_of_our_names(
    cache: Path, tmp_path: Path, launcher: tuple[str, ...]
) -> None:
    """What the working directory calls `shared` or `student_train` is not what runs."""
    for name in ("shared", "student_train"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('a different package')")
    found = subprocess.run(
        [sys.executable, *launcher, "-m", "mixkd.student_train.cli", cache, *FAST],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert found.returncode == 0, found.stderr
    assert "teacher against student" in found.stdout
    assert yaml.safe_load((tmp_path / "students/two/run.yaml").read_text())["epochs"] == 1


def test_what_was_run_runs_again(cache: Path, tmp_path: Path) -> None:
    """A cache by position, and a run from the file that the first one left."""
    words = "--epochs 1 --batch-size 8 --device cpu --lr 3e-4"
    run_here(f"train-student {cache} {words} --out first", tmp_path)
    run_here("train-student --config first/run.yaml --out second", tmp_path)
    first, second = (read_metrics(tmp_path / name) for name in ("first", "second"))
    assert (second.settings, second.metrics) == (first.settings, first.metrics)
    assert first.settings.learning_rate == 3e-4
