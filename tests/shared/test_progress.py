"""What a user sees of a long job: lines in a log, a bar on a terminal."""

from __future__ import annotations

import io
import sys
import time

import pytest

from mixkd.shared import progress as module
from mixkd.shared.progress import progress


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


def test_a_bar_with_parts_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    with progress(10, "teacher", "rows", ["cuda:0", "cuda:1"]) as step:
        step.at(5)
        step(2)
        step.part(1, "[bold]4 rows")
        step.say("[bold]a line")
    shown = terminal.getvalue()
    for text in ("teacher", "7/10", "cuda:0", "cuda:1  [bold]4 rows", "[bold]a line"):
        assert text in shown


def test_nothing_is_shown_by_default(caplog: pytest.LogCaptureFixture) -> None:
    step = module.Progress(10, "teacher", "rows")
    step(3)
    step.at(10)
    assert step.done == 10
    assert caplog.text == ""
