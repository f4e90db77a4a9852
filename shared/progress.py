"""Progress with rate and time left: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def progress(total: int, label: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Show progress; give a function that is told how many units were done since its last call."""
    if sys.stderr.isatty():
        yield from _bar(total, label, unit)
    else:
        yield from _lines(total, label, unit)


def _bar(total: int, label: str, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, rate="")

        def step(count: int) -> None:
            bar.advance(task, count)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:.0f} {unit}/s" if speed else "")

        yield step


def _lines(total: int, label: str, unit: str) -> Iterator[Callable[[int], None]]:
    began = last = time.monotonic()
    done = 0

    def step(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or (done >= total and now - began > 1):
            rate = done / (now - began)
            left = f"{duration((total - done) / rate)} left" if done < total else "done"
            log.info("%s: %d of %d %s, %.0f/s, %s", label, done, total, unit, rate, left)
            last = now

    yield step


def duration(seconds: float) -> str:
    """Show seconds as people say it: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
