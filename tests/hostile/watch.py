"""An inotify watch: whether anybody opened a file, be it Python, Arrow or libhdf5; and a bait."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tests.hostile.registry import Spoil

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


@contextmanager
def spoiled(good: Path, spoil: Spoil, folder: Path) -> Iterator[Path]:
    """A copy of a good cache, spoiled; what the block does with it must not open the bait."""
    root = Path(shutil.copytree(good, folder / "cache"))
    bait = folder / "bait"
    bait.write_bytes(b"bait")
    spoil(root, bait)
    with Watch(bait) as watch:
        yield root
        assert not watch.opened()
