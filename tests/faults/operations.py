"""Filesystem operations, counted in a child process: killed, failed or shortened at a chosen one.

Product code has no hooks: the functions of `os` that `shared/entries.py` calls are wrapped. A child
is forked from a process that has imported everything, so hundreds of them take seconds.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

COUNTED = ("open", "write", "fsync", "close", "replace", "link", "unlink", "mkdir")
DONE, FAILED, CRASHED = 0, 1, 70
Act = Callable[[str, Callable[[], Any], tuple[Any, ...]], Any]


class Operations:
    """Counts calls, and acts at call number `at`."""

    def __init__(self, at: int, act: Act) -> None:
        self.count = 0
        self.reached = False
        self._at, self._act = at, act
        self._lock = threading.Lock()

    def install(self) -> None:
        for name in COUNTED:
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            with self._lock:
                number, self.count = self.count, self.count + 1
            if number == self._at:
                self.reached = True
                return self._act(name, partial(real, *arguments, **more), arguments)
            return real(*arguments, **more)

        return call


def kill(name: str, real: Callable[[], Any], arguments: tuple[Any, ...]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail_with(number: int) -> Act:
    """An action that fails as a full or failing disk does; closing never fails that way."""

    def fail(name: str, real: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        if name in ("close", "unlink"):
            return real()
        raise OSError(number, os.strerror(number))

    return fail


def shorten(name: str, real: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
    """A write that takes one byte only."""
    if name == "write":
        return os.write(arguments[0], memoryview(arguments[1])[:1])
    return real()


NO_SPACE, IO_ERROR = fail_with(errno.ENOSPC), fail_with(errno.EIO)


def count(work: Callable[[], object]) -> int:
    """How many operations `work` makes in a child of its own."""
    read_end, write_end = os.pipe()
    operations = Operations(-1, kill)

    def counted() -> None:
        work()
        os.write(write_end, str(operations.count).encode())

    code = in_child(counted, operations)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        said = stream.read()
    if code != 100 + DONE:
        raise RuntimeError(f"expected work that ends well, it ended with {code}")
    return int(said)


def in_child(work: Callable[[], object], operations: Operations) -> int:
    """Run `work` in a forked child with `operations` installed.

    Returns:
        DONE, FAILED (a named error), CRASHED (any other), or minus the signal that killed it; plus
        100 if operation `at` was not reached.
    """
    child = os.fork()
    if child == 0:
        code = CRASHED
        try:
            from mixkd.shared.errors import MixkdError

            operations.install()
            try:
                work()
                code = DONE
            except MixkdError:
                code = FAILED
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code if operations.reached else code + 100)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
