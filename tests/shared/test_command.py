"""How a command ends: its exit code, one line, and a traceback only with --debug."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mixkd.shared.command import DefaultGroup, shown, wrapped

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
STOPPING = 'with command.stopping(lambda: "nothing was written"):'
USAGE = 'raise UsageError("--pairs", expected="a number", found="x", do="give one")'


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, ""),
        (MISSING, 1, "error: a.arrow: expected a file, found none; look\\n\\x1b[2J\n"),
        (USAGE, 2, "error: --pairs: expected a number, found x; give one\n"),
        ('raise RuntimeError("CUDA fell\\nover")', 1, "error: unexpected RuntimeError: CUDA fell"),
        ("raise KeyboardInterrupt", 130, "error: interrupted\n"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "error: terminated\n"),
        (f"{STOPPING} raise KeyboardInterrupt", 130, "error: interrupted; nothing was written\n"),
        (f"{STOPPING} raise command.Terminated", 143, "error: terminated; nothing was written\n"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Usage: tool [OPTIONS] COMMAND"),
        (["--help"], "Usage: tool [OPTIONS] COMMAND"),
        (["--size", "3"], "made 3"),
        (["make", "--size", "3"], "made 3"),
        (["--version"], "1.0"),
        (["other"], "another"),
        (["others"], "No such command 'others'"),
        (["--sizes", "3"], "No such option"),
    ],
)
def test_options_without_a_command_are_those_of_the_default(
    arguments: list[str], said: str
) -> None:
    @click.group("tool", cls=DefaultGroup, default="make")
    @click.version_option("1.0", message="%(version)s")
    def tool() -> None: ...

    @tool.command()
    @click.option("--size")
    def make(size: str) -> None:
        click.echo(f"made {size}")

    @tool.command()
    def other() -> None:
        click.echo("another")

    assert said in CliRunner().invoke(tool, arguments).output


def test_words_without_a_command_are_the_defaults_where_it_takes_words() -> None:
    @click.group("tool", cls=DefaultGroup, default="look")
    def tool() -> None: ...

    @tool.command()
    @click.argument("places", nargs=-1)
    def look(places: tuple[str, ...]) -> None:
        click.echo(f"looked at {' and '.join(places)}")

    @tool.command()
    def other() -> None:
        click.echo("another")

    for words, said in ((["a", "b"], "looked at a and b"), (["other"], "another")):
        assert CliRunner().invoke(tool, words).output.strip() == said


def test_lines_break_between_words_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows stands under the text of the first part; a pipe gets a line as it is."""
    lines = [
        "size         12 MiB: starting points 10 MiB, shards 2 MiB",
        "a label \x1b[2J of a model",
    ]
    monkeypatch.setenv("COLUMNS", "44")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert wrapped(lines) == shown(lines)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert wrapped([*lines, "", "end"]).splitlines() == [
        "size         12 MiB: starting points 10 MiB,",
        "             shards 2 MiB",
        r"a label \x1b[2J of a model",
        "",
        "end",
    ]


def test_a_command_ends_without_visiting_what_libraries_leave() -> None:
    """Collecting 400,000 objects of theirs took seconds after the last line."""
    body = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 1000))"
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout == "result\nTrue\n"
