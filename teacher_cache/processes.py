"""A builder as a process of its own, seen from the command that started it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import IO, cast

from mixkd.shared.errors import printable
from mixkd.teacher_cache.messages import Message, decoded, encoded_options
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.results import RunFacts

WORKER = "mixkd.teacher_cache.worker"
SHOWN_STDERR_BYTES = 4000

Queue = queue.SimpleQueue[tuple["Builder", Message | None]]


@dataclass(eq=False)
class Builder:
    """One device's builder process, started again if it dies.

    Attributes:
        name: The device, with a number where several builders share it.
        starts: How often it was started.
        scored: Rows that its process has scored.
        ended: Whether it did what it was asked for.
        is_through: Whether it is not started again.
        run: What it did; None if nothing was missing.
        cause: How its last process ended.
    """

    rank: int
    device: str
    name: str
    starts: int = 0
    scored: int = 0
    ended: bool = False
    is_through: bool = False
    run: RunFacts | None = None
    cause: str = ""
    process: subprocess.Popen[bytes] | None = None
    _thread: threading.Thread | None = None
    _stderr: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def start(self, options: BuildOptions, environment: dict[str, str], said: Queue) -> None:
        """Start the process; what it says arrives in the queue, and None at its end."""
        self.starts, self.scored = self.starts + 1, 0
        own = {**os.environ, **environment, "LOCAL_RANK": str(self.rank)}
        self.process = process = subprocess.Popen(
            # -P: as for the command, no module is taken from the working directory.
            [sys.executable, "-P", "-m", WORKER],
            env=own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        asked = encoded_options(replace(options, device=self.device, devices=None))
        self._thread = threading.Thread(target=self._exchange, args=(process, asked, said))
        self._thread.start()

    def close(self) -> None:
        """Wait until everything that the process said has been read."""
        if self._thread:
            self._thread.join()
        self._stderr.close()

    def _exchange(self, process: subprocess.Popen[bytes], asked: bytes, said: Queue) -> None:
        try:
            # One that died at once cannot be asked; its end says so.
            with suppress(BrokenPipeError), cast(IO[bytes], process.stdin) as stdin:
                stdin.write(asked)
            with cast(IO[bytes], process.stdout) as stdout:
                for message in decoded(stdout):
                    said.put((self, message))
            self.cause = self._why(process.wait())
        finally:
            said.put((self, None))

    def _why(self, code: int) -> str:
        """Say how a process ended, with the last line that it wrote."""
        if code < 0:
            names = {number.value: number.name for number in signal.Signals}
            return f"killed by {names.get(-code, f'signal {-code}')}"
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - SHOWN_STDERR_BYTES))
        lines = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no word")
        return printable(f"exit code {code}, {last}")
