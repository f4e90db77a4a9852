"""One builder of several: a process that is told what to build and answers in lines of JSON.

`builders` starts it as `python -m mixkd.teacher_cache.worker`. It commits, and does not seal.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mixkd.shared.command import TERMINATED, Terminated, leave
from mixkd.shared.errors import MixkdError, printable
from mixkd.shared.progress import Progress
from mixkd.teacher_cache.messages import (
    Ended,
    Failed,
    Message,
    Said,
    Scored,
    decoded_options,
    encoded,
)
from mixkd.teacher_cache.run import run_builder

SECONDS_BETWEEN_MESSAGES = 0.2


class Channel:
    """Sends messages on what was standard output, and leaves that to libraries that print."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.set_inheritable(self._descriptor, False)
        os.dup2(2, 1)

    def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            BrokenPipeError: If nobody reads any more.
        """
        rest = memoryview(encoded(message))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class _Sent(Progress):
    """Tells how many rows this builder has scored, a few times a second."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(0, "", "")
        self._channel, self._scored, self._last = channel, 0, 0.0

    def __call__(self, count: int) -> None:
        self._scored += count
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_MESSAGES:
            self._last = now
            self._channel.send(Scored(self._scored))


class _Log(logging.Handler):
    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.send(Said(record.levelno, printable(record.getMessage())))


def main() -> int:
    """Build as the options on standard input say; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command that started this one says when
    signal.signal(signal.SIGTERM, _terminate)
    channel = Channel()
    log = logging.getLogger("mixkd")
    log.setLevel(logging.INFO)
    log.addHandler(_Log(channel))
    log.propagate = False

    @contextmanager
    def show(total: int, label: str, unit: str) -> Iterator[Progress]:
        yield _Sent(channel)

    try:
        options = decoded_options(sys.stdin.buffer.read())
        channel.send(Ended(run_builder(options, show=show)))
    except MixkdError as error:
        channel.send(Failed.of(error))
        return error.exit_code
    except Terminated:
        return TERMINATED
    except BrokenPipeError:
        return 1
    return 0


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    # A second one must not disturb the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


if __name__ == "__main__":
    leave(main())
