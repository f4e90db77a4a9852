"""An inotify watch: whether anybody opened a file, be it Python, Arrow or libhdf5."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import TracebackType

IN_ACCESS, IN_OPEN = 0x1, 0x20


class Watch:
    """Watches one file from entering the `with` block on.

    Raises:
        OSError: If the system has no inotify.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Watch:
        system = ctypes.CDLL(None, use_errno=True)
        self._descriptor = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        name = os.fsencode(self._path)
        if system.inotify_add_watch(self._descriptor, name, IN_ACCESS | IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {self._path}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def opened(self) -> bool:
        """Whether the file was opened since this was asked last."""
        try:
            return len(os.read(self._descriptor, 4096)) > 0
        except BlockingIOError:
            return False
