"""What goes on: a bar with rate and time left, or a word about what takes seconds.

On a terminal both are shown as long as they last; in a log, or on a terminal that cannot draw over
a line, they are lines.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from mixkd.shared.units import duration

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)
SECONDS_BEFORE_LINES = 2.0
SECONDS_BETWEEN_LINES = 15.0
STILL = ("dumb", "unknown")  # values of TERM
# In columns of a terminal.
WIDE = 80
WIDTH_OF_RATE, WIDTH_OF_TIME = 20, 8
SHORTEST_BAR, LONGEST_BAR = 10, 40


class Progress:
    """How much of a total is done. Call it with the number of units done since the last call.

    This one shows nothing.
    """

    def __init__(self, total: int, label: str, unit: str) -> None:
        self.done = 0
        self._total, self._label, self._unit = total, label, unit

    def __call__(self, count: int) -> None:
        self.done += count
        self._show()

    def at(self, done: int) -> None:
        """Say how much is done in all: before this run, or counted again."""
        if self.done == 0:
            self._begin(done)
        self.done = done
        self._show()

    def part(self, number: int, text: str) -> None:
        """Say how a part of the work stands: a device's, where several work together."""

    def say(self, text: str) -> None:
        """Show a line that stays."""
        log.info("%s", text)

    def _begin(self, done: int) -> None:
        """Begin with so much done, which does not count for the rate."""

    def _show(self) -> None:
        pass


ShowProgress = Callable[[int, str, str], AbstractContextManager[Progress]]


@contextmanager
def progress(total: int, label: str, unit: str, parts: Sequence[str] = ()) -> Iterator[Progress]:
    """Show progress; inside another one, a second bar.

    Args:
        parts: Names of the parts that a line each is shown of.
    """
    if _is_silent():
        yield Progress(total, label, unit)
        return
    _working.stop()
    if not _animates():
        yield _Lines(total, label, unit, parts)
        return
    from rich.live import Live

    bar = _Bar(total, label, unit, parts)
    with Live(bar.shown, console=bar.console, transient=True):
        _consoles.append(bar.console)
        try:
            yield bar
        finally:
            _consoles.pop()


@contextmanager
def working(text: str | None = None) -> Iterator[None]:
    """Let `now` say what goes on in the block; also a decorator.

    Args:
        text: What goes on first.
    """
    outer = _working.depth
    _working.depth += 1
    try:
        if text:
            now(text)
        yield
    finally:
        _working.depth = outer
        if not outer:
            _working.stop()


def now(text: str) -> None:
    """Say what begins now and may take seconds; it ends where the next thing begins."""
    if _is_silent():
        return
    if _animates() and _working.depth and not _consoles:
        _working.start(text)
    else:
        log.info("%s …", text)


class _Working:
    """A spinner with the time that it has been there, of what goes on now."""

    def __init__(self) -> None:
        self.depth = 0
        self._spinner: Any = None

    def start(self, text: str) -> None:
        from rich import progress as rich

        self.stop()
        columns = (
            rich.SpinnerColumn(),
            rich.TextColumn("{task.description} …", markup=False),
            rich.TimeElapsedColumn(),
        )
        self._spinner = rich.Progress(*columns, console=_console(), transient=True)
        self._spinner.add_task(text, total=None)
        self._spinner.start()

    def stop(self) -> None:
        spinner, self._spinner = self._spinner, None
        if spinner:
            spinner.stop()


_working = _Working()
_consoles: list[Console] = []  # of the bars that are shown, the outermost first


def _console() -> Console:
    """Return the console of the bar around, which makes room for another one."""
    from rich.console import Console

    return _consoles[0] if _consoles else Console(stderr=True)


def _animates() -> bool:
    """Tell whether standard error is a terminal that can draw over a line; `rich` shows nothing on
    others."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in STILL


def _is_silent() -> bool:
    """Tell whether nobody wants to know, or another process of the run says the same."""
    level = logging.getLogger("mixkd").level  # its own: 0 where a program has set none
    return level > logging.INFO or os.environ.get("RANK", "0") != "0"


class _Lines(Progress):
    """Lines in a log, seconds apart."""

    def __init__(self, total: int, label: str, unit: str, parts: Sequence[str] = ()) -> None:
        super().__init__(total, label, unit)
        self._parts = dict.fromkeys(parts, "")
        self._began = self._last = time.monotonic()
        self._before = 0
        self._wait = SECONDS_BEFORE_LINES
        self._ended = False

    def part(self, number: int, text: str) -> None:
        self._parts[list(self._parts)[number]] = text

    def _begin(self, done: int) -> None:
        self._before = done

    def _show(self) -> None:
        now = time.monotonic()
        all_done = self.done >= self._total and now - self._began > 1
        if self._ended or (now - self._last < self._wait and not all_done):
            return
        self._last, self._ended, self._wait = now, all_done, SECONDS_BETWEEN_LINES
        rate = (self.done - self._before) / max(now - self._began, 1e-9)
        left = f"{duration((self._total - self.done) / rate)} left" if rate > 0 else "waiting"
        if all_done:
            left = "done"
        parts = ", ".join(f"{name} {text}" for name, text in self._parts.items() if text)
        log.info(
            "%s: %d of %d %s, %.0f/s, %s%s",
            *(self._label, self.done, self._total, self._unit, rate, left),
            f" ({parts})" if parts else "",
        )


class _Bar(Progress):
    """A bar on a terminal, and a line for each part."""

    def __init__(self, total: int, label: str, unit: str, parts: Sequence[str] = ()) -> None:
        from rich import progress as rich
        from rich.console import Group

        super().__init__(total, label, unit)
        self.console = _console()
        # Counts and the time left are never cut: what is beside them gives way.
        left = self.console.width - (2 * len(str(total)) + 1) - WIDTH_OF_TIME - 2
        columns: list[rich.ProgressColumn] = [rich.MofNCompleteColumn(), rich.TimeRemainingColumn()]
        if self.console.width >= WIDE:
            columns.insert(1, rich.TextColumn("{task.fields[rate]}"))
            left -= WIDTH_OF_RATE + 1
        if left > len(label) + SHORTEST_BAR:
            columns.insert(0, rich.BarColumn(min(left - len(label) - 1, LONGEST_BAR)))
        elif left < len(label):
            label = f"{label[: left - 1]}…"
        self._bar = rich.Progress(rich.TextColumn("{task.description}"), *columns)
        self._task = self._bar.add_task(label, total=total, rate="")
        self._lines = rich.Progress(rich.TextColumn("{task.description}", markup=False))
        self._names = list(parts)
        self._line_tasks = [self._lines.add_task(name, total=None) for name in parts]
        for number in range(len(parts)):
            self.part(number, "")
        self.shown: Any = Group(self._bar, self._lines) if parts else self._bar

    def part(self, number: int, text: str) -> None:
        width = max(map(len, self._names))
        line = f"  {self._names[number]:<{width}}  {text}"
        self._lines.update(self._line_tasks[number], description=line)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)

    def _begin(self, done: int) -> None:
        self._bar.reset(self._task, completed=done)

    def _show(self) -> None:
        self._bar.update(self._task, completed=self.done)
        speed = self._bar.tasks[0].speed
        self._bar.update(self._task, rate=f"{speed:.0f} {self._unit}/s" if speed else "")
