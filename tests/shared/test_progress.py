"""What a user sees of a long job: lines in a log, a bar on a terminal."""

from __future__ import annotations

import io
import logging
import re
import sys
import time

import pytest

from mixkd.shared import progress as module
from mixkd.shared.progress import now, progress, working


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_lines_say_rate_and_time_left_of_this_run(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """What was there before, or what others did, is done, but what was there is of no rate."""
    with caplog.at_level("INFO"), progress(1000, "teacher", "rows") as step:
        step.at(500)
        clock.now += 20
        step(100)
        clock.now += 20
        step.at(800)
        clock.now += 20
        step(200)
        step.at(1000)
    assert [record.getMessage() for record in caplog.records] == [
        "teacher: 600 of 1000 rows, 5/s, 80 s left",
        "teacher: 800 of 1000 rows, 8/s, 27 s left",
        "teacher: 1000 of 1000 rows, 8/s, done",
    ]


def test_lines_name_the_parts(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), progress(10, "teacher", "rows", ["cuda:0", "cuda:1"]) as step:
        step.part(1, "4 rows")
        clock.now += 20
        step.at(0)
        step.say("a line")
    assert [record.getMessage() for record in caplog.records] == [
        "teacher: 0 of 10 rows, 0/s, waiting (cuda:1 4 rows)",
        "a line",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 100) -> Terminal:
    """Make standard error a terminal; in a test itself, since pytest sets it before each."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def test_a_bar_with_parts_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with progress(10, "teacher", "rows", ["cuda:0", "cuda:1"]) as step:
        step.at(5)
        step(2)
        step.part(1, "[bold]4 rows")
        step.say("[bold]a line")
    shown = terminal.getvalue()
    for text in ("teacher", "7/10", "cuda:0", "cuda:1  [bold]4 rows", "[bold]a line"):
        assert text in shown


def plain(terminal: Terminal) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_counts_and_time_left_fit(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    terminal = on_a_terminal(monkeypatch, columns)
    with progress(50_000, "teacher on 16 devices, a long name", "rows") as step:
        time.sleep(0.01)
        step(20)
        time.sleep(0.01)
        step(20_000)
    lines = plain(terminal).splitlines()
    assert any(re.search(r"20020/50000.*\d:\d\d:\d\d$", line.rstrip()) for line in lines), lines
    assert max(map(len, lines)) <= columns


def test_a_bar_within_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with progress(10, "student", "examples") as outer:
        outer(1)
        with progress(5, "validation", "examples") as inner:
            inner(4)
            time.sleep(0.5)  # drawn four times a second
    assert "validation" in plain(terminal) and "4/5" in plain(terminal)


def test_what_goes_on_is_a_spinner_or_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = on_a_terminal(monkeypatch)
    with caplog.at_level("INFO"), working("reading [1]"):
        now("probing [b]it")
        with progress(1, "teacher", "rows"):
            pass
        now("sealing")
    shown = plain(terminal)
    assert all(f"{text} …" in shown for text in ("reading [1]", "probing [b]it", "sealing"))
    assert caplog.text == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level("INFO"), working("reading"):
        now("probing")
    assert [record.getMessage() for record in caplog.records] == ["reading …", "probing …"]


def test_a_terminal_that_cannot_draw_over_a_line_gets_lines(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As Emacs has one: `rich` draws nothing there."""
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with caplog.at_level("INFO"), working("reading"), progress(10, "teacher", "rows") as step:
        clock.now += 5
        step(5)
    assert terminal.getvalue() == ""
    told = ["reading …", "teacher: 5 of 10 rows, 1/s, 5 s left"]
    assert [record.getMessage() for record in caplog.records] == told


@pytest.mark.parametrize("why", ["quiet", "another process"])
def test_silence(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    terminal = on_a_terminal(monkeypatch)
    logger = logging.getLogger("mixkd")
    monkeypatch.setattr(logger, "level", logging.WARNING if why == "quiet" else logger.level)
    monkeypatch.setenv("RANK", "0" if why == "quiet" else "1")
    with working("reading"), progress(1, "teacher", "rows") as step:
        now("probing")
        step(1)
    assert terminal.getvalue() == ""


def test_nothing_is_shown_by_default(caplog: pytest.LogCaptureFixture) -> None:
    step = module.Progress(10, "teacher", "rows")
    step(3)
    step.at(10)
    assert step.done == 10
    assert caplog.text == ""
