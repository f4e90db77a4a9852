"""`--devices`: one builder process per device, on one cache, watched from here and sealed once.

The first builder creates a new cache, the others join it then. They do not depend on each other: a
builder that died is started again, and what it had not committed is computed by any of them.
"""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import mixkd
from mixkd.shared.cache.codecs.base import KindName
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import BuilderError, UsageError
from mixkd.shared.progress import Progress, progress
from mixkd.teacher_cache.messages import Ended, Failed, Message, Said, Scored
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.processes import Builder, Queue
from mixkd.teacher_cache.results import RunFacts

log = logging.getLogger(__name__)
RESTARTS = 3
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 60


def build_on_devices(options: BuildOptions) -> RunFacts | None:
    """Build, continue or extend a cache with one builder per device; do not seal it.

    Returns:
        What they did together; None if nothing was missing, and after a dry run.

    Raises:
        UsageError: If a device does not exist.
        BuilderError: If builders died again and again.
        MixkdError: The named failure of a builder, which the others would meet as well.
    """
    limit = options.time_limit_s
    deadline = float("inf") if limit is None else time.monotonic() + limit
    names = named_devices(options.devices or ())
    crew = Crew(options, names, deadline)
    with crew.stopped_at_the_end():
        crew.work()
    if options.dry_run:
        log.info("that is for one builder; %d would share it", len(names))
        return None
    return crew.run


def named_devices(asked: Sequence[str]) -> tuple[str, ...]:
    """Return the devices that `--devices` names.

    Raises:
        UsageError: Naming one that does not exist, and how many do.
    """
    if set(asked) == {"cpu"}:
        return tuple(asked)  # without torch, which takes seconds to import
    import torch

    # Counted, not tried: each builder tries its own, and what is tried here stays occupied.
    count = torch.cuda.device_count()
    machine = f"a machine with {count} CUDA devices"
    numbers = map(str, range(count)) if tuple(asked) == ("all",) else asked
    names = [f"cuda:{name}" if name.isdecimal() else name for name in numbers]
    existing = {"cpu", *(f"cuda:{number}" for number in range(count))}
    for name in names:
        if name not in existing:
            raise _no_device(f"{name}, on {machine}")
    if not names:
        raise _no_device(machine)
    return tuple(names)


class Crew:
    """The builders of one cache, from the first one's start to the last one's end.

    Attributes:
        run: What they did together; None if nothing was missing.
    """

    def __init__(self, options: BuildOptions, devices: Sequence[str], deadline: float) -> None:
        self._options = options
        self._deadline = deadline
        self._builders = [
            Builder(rank, device, device if devices.count(device) == 1 else f"{device} #{rank}")
            for rank, device in enumerate(devices)
        ]
        self._environment = _environment(devices)
        self._said: Queue = queue.SimpleQueue()
        self._writer: CacheWriter | None = None
        self._progress = Progress(0, "", "")  # shows nothing before there is a cache
        self._is_shown = False
        self._looked = 0.0
        self._last_death = ""
        existing = CacheFolder(options.root).exists()
        self._rows_before = self._rows(CacheWriter.open(options.root)) if existing else 0

    @property
    def run(self) -> RunFacts | None:
        runs = [builder.run for builder in self._builders if builder.run]
        if not runs:
            return None
        return RunFacts.together(runs, self._rows(self._opened()) - self._rows_before)

    def work(self) -> None:
        """Start builders, listen to them and start them again, until all have ended.

        Raises:
            BuilderError: If all have died too often for that.
        """
        names = [builder.name for builder in self._builders]
        with ExitStack() as stack:
            while self._start_some():
                if self._may_join() and not self._is_shown:
                    self._is_shown = True
                    shown = progress(
                        self._rows_wanted(), f"teacher on {len(names)} devices", "rows", names
                    )
                    self._progress = stack.enter_context(shown)
                self._look()
                try:
                    builder, message = self._said.get(timeout=SECONDS_BETWEEN_LOOKS)
                except queue.Empty:
                    continue
                self._hear(builder, message)
        unfinished = self._is_needed() if self._may_join() else not self._ended()
        if unfinished:
            raise self._too_often()

    @contextmanager
    def stopped_at_the_end(self) -> Iterator[None]:
        """End all processes in order when the block is left, whatever ends it."""
        try:
            yield
        finally:
            running = [b.process for b in self._builders if b.process and b.process.poll() is None]
            for process in running:
                process.terminate()
            until = time.monotonic() + SECONDS_TO_END
            for process in running:
                try:
                    process.wait(max(0, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()  # which loses no more than what it was computing
                    process.wait()
            for builder in self._builders:
                builder.close()

    def _start_some(self) -> bool:
        """Start the builders that may be started; tell whether one runs."""
        running = any(builder.process for builder in self._builders)
        waiting = [b for b in self._builders if not b.process and not b.is_through]
        if not self._may_join():
            waiting = [] if running or self._ended() else waiting[:1]
        for builder in waiting:
            remaining = self._deadline - time.monotonic()
            limit = None if remaining == float("inf") else max(0.0, remaining)
            options = replace(self._options, time_limit_s=limit)
            builder.start(options, self._environment, self._said)
            self._progress.part(builder.rank, "starting")
        return running or bool(waiting)

    def _ended(self) -> bool:
        return any(builder.ended for builder in self._builders)

    def _may_join(self) -> bool:
        """Tell whether there is a cache, which all builders can work on."""
        return not self._options.dry_run and CacheFolder(self._options.root).exists()

    def _hear(self, builder: Builder, message: Message | None) -> None:
        match message:
            case Scored():
                builder.scored = message.rows
                self._progress.part(builder.rank, f"{message.rows} rows")
            case Said():
                # What the first one says of the cache, the others would say as well.
                if message.level > logging.INFO or builder is self._builders[0]:
                    self._progress.say(message.text)
            case Failed():
                raise message.error()
            case Ended():
                builder.run, builder.ended = message.run, True
            case None:
                self._gone(builder)

    def _gone(self, builder: Builder) -> None:
        """Decide what becomes of a builder whose process has ended."""
        builder.process = None
        if not builder.ended:
            self._last_death = f"{builder.name}: {builder.cause}"
        builder.is_through = builder.ended or not self._is_needed()
        if builder.is_through:
            self._progress.part(builder.rank, "ended")
            return
        self._progress.part(builder.rank, "died")
        died = f"{builder.name}: the builder died ({builder.cause})"
        builder.is_through = builder.starts > RESTARTS
        following = "given up" if builder.is_through else "started again"
        self._progress.say(f"{died} and is {following}, {builder.starts} of {RESTARTS + 1} starts")

    def _is_needed(self) -> bool:
        """Tell whether rows are missing, and whether there is time for them."""
        if time.monotonic() >= self._deadline:
            return False
        return not self._may_join() or self._rows(self._opened()) < self._rows_wanted()

    def _too_often(self) -> BuilderError:
        return BuilderError(
            "--devices",
            expected="builders that end by themselves",
            found=f"that all died, the last one on {self._last_death}",
            do="run again with --device and --debug to see why; what was committed stays",
        )

    def _look(self) -> None:
        """Show how many rows are committed, whoever committed them."""
        if self._is_shown and time.monotonic() - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = time.monotonic()
            rows = self._rows(self._opened())
            self._progress.at(rows)
            if self._ended() and rows == self._rows_wanted():
                for builder in self._builders:
                    if builder.process and not builder.scored:
                        builder.process.terminate()  # which is still loading its teacher

    def _opened(self) -> CacheWriter:
        if self._writer is None:
            self._writer = CacheWriter.open(self._options.root)
        self._writer.refresh()
        return self._writer

    def _wanted(self, writer: CacheWriter) -> dict[KindName, int]:
        return {"originals": writer.identity.n_originals, "pairs": self._options.pairs}

    def _rows(self, writer: CacheWriter) -> int:
        """Count the rows that are wanted and committed."""
        wanted = self._wanted(writer)
        return sum(wanted.values()) - writer.missing(wanted)

    def _rows_wanted(self) -> int:
        return sum(self._wanted(self._opened()).values())


def _environment(devices: Sequence[str]) -> dict[str, str]:
    """Return what all builders get: how many they are, where mixkd is, their part of the cores."""
    home = str(Path(mixkd.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    environment = {"LOCAL_WORLD_SIZE": str(len(devices)), "PYTHONPATH": path}
    if "cpu" in devices and "OMP_NUM_THREADS" not in os.environ:
        cores = (os.cpu_count() or 1) // devices.count("cpu")
        environment["OMP_NUM_THREADS"] = str(max(1, cores))
    return environment


def _no_device(found: str) -> UsageError:
    return UsageError(
        "--devices",
        expected="all, numbers of CUDA devices such as 0,1,3, or cpu,cpu",
        found=found,
        do="leave it out, or name devices that exist",
    )
