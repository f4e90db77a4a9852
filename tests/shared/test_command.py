"""How a command ends: its exit code, one line, and a traceback only with --debug."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import os, signal, click
from mixkd.shared import command
from mixkd.shared.errors import MissingFileError, UsageError

@click.command()
def tool():
    print("result")
    {body}

command.main(tool)
"""
MISSING = 'raise MissingFileError("a.arrow", expected="a file", found="none", do="look\\n\\x1b[2J")'
USAGE = 'raise UsageError("--pairs", expected="a number", found="x", do="give one")'


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, ""),
        (MISSING, 1, "error: a.arrow: expected a file, found none; look\\n\\x1b[2J\n"),
        (USAGE, 2, "error: --pairs: expected a number, found x; give one\n"),
        ('raise RuntimeError("CUDA fell\\nover")', 1, "error: unexpected RuntimeError: CUDA fell"),
        ("raise KeyboardInterrupt", 130, "error: interrupted; what was committed or saved stays"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "error: terminated; what was committed"),
    ],
)
def test_exit_codes_and_one_line(body: str, code: int, said: str) -> None:
    script = SCRIPT.format(body=body)
    for words, traceback in (([], False), (["--debug"], True)):
        found = subprocess.run(
            [sys.executable, "-c", script, *words],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (found.returncode, found.stdout) == (code, "result\n")
        assert ("Traceback" in found.stderr) == (traceback and code > 0)
        if not traceback:
            line = found.stderr.lstrip("\n")  # click ends the line that ^C is on
            assert line.startswith(said)
            assert line.count("\n") == (code > 0)
