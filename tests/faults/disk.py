"""A disk in memory that replays recorded operations and forgets what was not synced.

SIGKILL does not test a missing fsync: the page cache survives it. So the operations of a build are
recorded, and after each of them a power failure is played: what was not synced is lost, in one of
several ways (the idea of ALICE: Pillai et al., OSDI 2014).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Operation = tuple[Any, ...]
Tree = dict[str, bytes | None]  # relative path -> content, None for a folder
LOSSES = ("all that was not synced", "contents, not names", "zeros for contents", "but the last")


@contextmanager
def recorded(root: Path) -> Iterator[list[Operation]]:
    """The operations below `root` while the `with` block runs, in order; nothing is synced."""
    log: list[Operation] = []
    paths: dict[int, str] = {}
    real = {name: getattr(os, name) for name in WRAPPED}

    def name_of(path: Any, folder: int | None) -> str:
        if folder is None:
            return os.path.relpath(path, root)
        return os.path.normpath(Path(paths[folder]) / path)

    def open_(path: Any, flags: int, *more: Any, dir_fd: int | None = None) -> int:
        descriptor: int = real["open"](path, flags, *more, dir_fd=dir_fd)
        paths[descriptor] = name_of(path, dir_fd)
        if flags & os.O_CREAT:
            log.append(("create", paths[descriptor]))
        return descriptor

    def write(descriptor: int, data: Any) -> int:
        written: int = real["write"](descriptor, data)
        log.append(("write", paths[descriptor], bytes(data)[:written]))
        return written

    def fsync(descriptor: int) -> None:
        log.append(("fsync", paths[descriptor]))

    def on_names(kind: str) -> Any:
        def call(*names: Any, **more: Any) -> None:
            real[kind](*names, **more)
            folders = more.get("dir_fd"), more.get("dst_dir_fd")
            first = more.get("src_dir_fd", folders[0])
            log.append((kind, *map(name_of, names, (first, folders[1]))))

        return call

    wrapped = {"open": open_, "write": write, "fsync": fsync}
    for name in WRAPPED:
        setattr(os, name, wrapped.get(name) or on_names(name))
    try:
        yield log
    finally:
        for name, function in real.items():
            setattr(os, name, function)


WRAPPED = ("open", "write", "fsync", "replace", "link", "unlink", "mkdir")


@dataclass(slots=True)
class File:
    """Content as processes see it, and as it was when it was synced last (None: never)."""

    content: bytes = b""
    synced: bytes | None = None


@dataclass(slots=True)
class Disk:
    """Names as processes see them (`seen`), as they are on the disk (`kept`), and the changes in
    between, which a sync of their folder keeps. A value of None is a folder."""

    seen: dict[str, File | None] = field(default_factory=dict)
    kept: dict[str, File | None] = field(default_factory=dict)
    pending: list[Operation] = field(default_factory=list)

    def apply(self, operation: Operation) -> None:
        kind, name, *more = operation
        if kind == "write":
            self._file(name).content += more[0]
        elif kind == "fsync" and self.seen.get(name) is not None:
            self._file(name).synced = self._file(name).content
        elif kind == "fsync":
            for change in [c for c in self.pending if folder_of(c[-1]) == name]:
                _change(self.kept, change)
                self.pending.remove(change)
        else:
            change = self._as_change(kind, name, *more)
            _change(self.seen, change)
            self.pending.append(change)

    def processes_see(self) -> Tree:
        return {name: file and file.content for name, file in self.seen.items()}

    def after_power_failure(self, loss: str) -> Tree:
        """What is there when the machine comes up again."""
        names = dict(self.kept)
        if loss == "but the last":
            for change in self.pending[-1:]:
                _change(names, change)
        elif loss != LOSSES[0]:
            names = dict(self.seen)
        tree: Tree = {}
        for name, file in sorted(names.items()):
            if folder_of(name) not in (".", *tree):
                continue  # its folder was lost
            if file is None or file.synced is not None:
                tree[name] = file and file.synced
            else:
                tree[name] = bytes(len(file.content)) if loss.startswith("zeros") else b""
        return tree

    def _as_change(self, kind: str, name: str, *more: str) -> Operation:
        """("set", file, name), ("move", file, source, target) or ("drop", name)."""
        if kind in ("create", "mkdir"):
            return ("set", None if kind == "mkdir" else File(), name)
        if kind == "link":
            return ("set", self._file(name), more[0])
        if kind == "replace":
            return ("move", self._file(name), name, more[0])
        return ("drop", name)

    def _file(self, name: str) -> File:
        file = self.seen[name]
        if file is None:
            raise IsADirectoryError(name)
        return file


def folder_of(name: str) -> str:
    return str(Path(name).parent)


def _change(names: dict[str, File | None], change: Operation) -> None:
    kind, *rest = change
    if kind == "drop":
        names.pop(rest[0], None)
        return
    if kind == "move":
        names.pop(rest[1], None)
    names[rest[-1]] = rest[0]


def write_tree(tree: Tree, root: Path) -> None:
    root.mkdir()
    for name, content in sorted(tree.items()):
        if content is None:
            (root / name).mkdir(exist_ok=True)
        else:
            (root / name).write_bytes(content)
