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
from pathlib import Path
from typing import Any

COUNTED = ("open", "write", "fsync", "close", "replace", "link", "unlink", "mkdir")
DONE, FAILED, CRASHED = 0, 1, 70
Act = Callable[[str, Callable[[], Any], tuple[Any, ...]], Any]


class Operations:
    """Counts calls, and acts at call number `at`.

    Args:
        below: Count only calls about what is in this folder, and no closing of files: what is on
            the disk is the same before and after it.
        onwards: Act at all later calls, too.
    """

    def __init__(
        self, at: int, act: Act, below: Path | None = None, *, onwards: bool = False
    ) -> None:
        self.count = 0
        self.reached = False
        self._at, self._act, self._below, self._onwards = at, act, below, onwards
        self._lock = threading.Lock()

    def install(self) -> None:
        for name in COUNTED:
            if self._below is not None and name == "close":
                continue
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            folder = more.get("dir_fd", more.get("src_dir_fd"))
            if self._below is not None and not self._is_below(arguments[0], folder):
                return real(*arguments, **more)
            with self._lock:
                number, self.count = self.count, self.count + 1
            if number == self._at or (self._onwards and self.reached):
                self.reached = True
                return self._act(name, partial(real, *arguments, **more), arguments)
            return real(*arguments, **more)

        return call

    def _is_below(self, name: Any, folder: int | None) -> bool:
        descriptor = name if isinstance(name, int) else folder
        if descriptor is None:
            path = Path(os.fsdecode(name)).absolute()
        else:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return path.is_relative_to(self._below or "/")


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


def count(work: Callable[[], object], below: Path | None = None) -> int:
    """How many operations `work` makes in a child of its own."""
    read_end, write_end = os.pipe()
    operations = Operations(-1, kill, below)

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
