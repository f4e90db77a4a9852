"""Progress with rate and time left: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 15.0


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
    """Show progress.

    Args:
        parts: Names of the parts that a line each is shown of.
    """
    if not sys.stderr.isatty():
        yield _Lines(total, label, unit, parts)
        return
    from rich.live import Live

    bar = _Bar(total, label, unit, parts)
    with Live(bar.shown, console=bar.console, transient=True):
        yield bar


class _Lines(Progress):
    """Lines in a log, seconds apart."""

    def __init__(self, total: int, label: str, unit: str, parts: Sequence[str] = ()) -> None:
        super().__init__(total, label, unit)
        self._parts = dict.fromkeys(parts, "")
        self._began = self._last = time.monotonic()
        self._before = 0
        self._ended = False

    def part(self, number: int, text: str) -> None:
        self._parts[list(self._parts)[number]] = text

    def _begin(self, done: int) -> None:
        self._before = done

    def _show(self) -> None:
        now = time.monotonic()
        all_done = self.done >= self._total and now - self._began > 1
        if self._ended or (now - self._last < SECONDS_BETWEEN_LINES and not all_done):
            return
        self._last, self._ended = now, all_done
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
        from rich.console import Console, Group

        super().__init__(total, label, unit)
        self.console = Console(stderr=True)
        columns = (
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TextColumn("{task.fields[rate]}"),
            rich.TimeRemainingColumn(),
        )
        self._bar = rich.Progress(*columns)
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


def duration(seconds: float) -> str:
    """Show seconds as people say it: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
