"""Durable local writes: everything that appears in a cache appears whole, or not at all.

A file is written under a temporary name in its folder, synced, closed, opened again and checked,
put in place, and its folder is synced. Nothing else in the project writes into a cache, and what
does goes through `Root`, which follows no link below the cache's folder.
"""

from __future__ import annotations

import errno
import filecmp
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixkd.shared import entries, files
from mixkd.shared.content import Content
from mixkd.shared.entries import NO_HARD_LINKS, Check, OpenFolder, is_temporary, temporary_name
from mixkd.shared.errors import DiskError, OutputError

__all__ = ["NO_HARD_LINKS", "Root", "is_temporary", "temporary_name"]


@dataclass(frozen=True, slots=True)
class Root:
    """A folder, the user's choice, below which files are written, moved and removed.

    Names are relative, with slashes. Links below the folder are never followed, folders that a
    name needs are created.

    Raises:
        UnsafeFileError: If a part of a name is a link, or not a folder.
        DiskError: If the disk refuses.
    """

    path: Path

    def replace(self, name: str, data: bytes | Content, check: Check | None = None) -> None:
        """Put a file in place of what was there: for names that follow from content, and MANIFEST.

        Args:
            check: Is shown the bytes, but not those of a Content, as they were read back; raises to
                refuse them.
        """
        with self._holding(name) as (folder, last):
            folder.replace(last, data, check)

    def create(self, name: str, data: bytes) -> bytes | None:
        """Create a file exclusively; of several that try, one succeeds.

        Returns:
            None if this call created the file, else the existing content: equal to `data` if
            another one wrote the same, or if a file system reported a failure after it succeeded.
        """
        with self._holding(name) as (folder, last):
            return folder.create(last, data)

    def create_large(self, name: str, content: Content) -> bool:
        """Create a file exclusively from content that is not in memory as a whole.

        Returns:
            Whether the file of that name has the content, whoever wrote it.
        """
        with self._holding(name) as (folder, last):
            return folder.create_large(last, content)

    def move(self, name: str, target: str) -> None:
        """Rename a file or a folder durably; a link itself, not what it leads to."""
        with (
            self._holding(name, make=False) as (folder, last),
            self._holding(target) as (other, other_last),
        ):
            folder.move(last, other, other_last)

    def remove(self, name: str) -> None:
        """Remove a file that nobody needs, durably; one that is gone already is fine."""
        with self._holding(name, make=False) as (folder, last):
            folder.remove(last)
            folder.sync()

    @contextmanager
    def _holding(self, name: str, make: bool = True) -> Iterator[tuple[OpenFolder, str]]:
        """Open the folder that holds `name`; what the disk refuses is told of `name`."""
        *parts, last = name.split("/")
        if make:
            folder(self.path)
        try:
            with entries.opened(self.path, parts, make) as holder:
                yield holder, last
        except OSError as error:
            raise _disk(self.path / name, error) from None


def folder(path: Path) -> None:
    """Create a folder and those above it, each durably."""
    try:
        if path.is_dir():
            return
        folder(path.parent)
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir():
            raise OutputError(
                path, expected="a folder", found="a file", do="choose another --out"
            ) from None
        return
    except OSError as error:
        raise unwritable(path, error) from None
    sync_folder(path.parent)


def move(path: Path, target: Path) -> None:
    """Rename a file or a folder durably; links in the paths to either are followed."""
    folder(target.parent)
    try:
        with entries.opened(path.parent) as source, entries.opened(target.parent) as other:
            source.move(path.name, other, target.name)
    except OSError as error:
        raise _disk(path, error) from None


def place(path: Path, target: Path) -> None:
    """Put a settled file at `target` too, which another file there keeps from happening.

    Raises:
        OutputError: If something else has that name; the same content there is fine.
    """
    try:
        with entries.opened(path.parent) as source, entries.opened(target.parent) as other:
            try:
                source.link(path.name, other, target.name)
            finally:
                other.sync()
    except FileExistsError:
        if not _same_content(path, target):
            raise OutputError(
                target,
                expected="no such file, or what is to be written there",
                found="a different one",
                do="move it away, then run the same command again: it continues",
            ) from None
    except OSError as error:
        raise _disk(target, error) from None


def settle(folder: Path) -> None:
    """Make files that another library wrote into a folder durable, and readable as usual.

    safetensors writes files that only their owner may read; a team shares models by folder.
    """
    usual = 0o666 & ~_umask()
    for file in folder.iterdir():
        if not file.is_file():
            continue
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, usual)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(folder)


def check_writable(root: Path) -> None:
    """Fail now, rather than after the work, if nothing can be written below `root`."""
    above = root
    while not files.exists(above) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise OutputError(above, expected="a folder", found="a file", do="choose another --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise unwritable(above, PermissionError(errno.EACCES, "no permission to write"))
    longest = max(len(os.fsencode(part)) for part in (*root.parts, ""))
    if longest > os.pathconf(above, "PC_NAME_MAX"):
        raise unwritable(root, OSError(errno.ENAMETOOLONG, f"a name of {longest} bytes"))


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error for an output that cannot be written."""
    return OutputError(
        path,
        expected="a folder that can be written",
        found=error.strerror or str(error),
        do="choose another --out or change its permissions",
    )


def _same_content(path: Path, target: Path) -> bool:
    try:
        return not target.is_symlink() and filecmp.cmp(path, target, shallow=False)
    except OSError as error:
        raise _disk(target, error) from None


def _umask() -> int:
    """Read the process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, whoever put them there."""
    try:
        with entries.opened(path) as opened:
            opened.sync()
    except OSError as error:
        raise _disk(path, error) from None


def _disk(path: Path, error: OSError) -> DiskError:
    return DiskError(
        path,
        expected="to write it durably",
        found=error.strerror or str(error),
        do="free space or repair the disk, then run the same command again: it continues",
    )
