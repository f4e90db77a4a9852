"""Suspicious reads: regular files of a bounded size, opened without waiting."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixkd.shared.errors import DamagedFileError, MissingFileError, UnsafeFileError

REMEDY = "get the file again from where the cache was made, or run: cache-teacher verify"


def exists(path: Path) -> bool:
    """Look whether anything is at a path; there is nothing under a name that no system takes.

    A name that is too long is an OSError of the methods of Path.
    """
    return os.path.exists(path)  # noqa: PTH110


def is_folder(path: Path) -> bool:
    """Look whether a path leads to a folder, as `exists` does."""
    return os.path.isdir(path)  # noqa: PTH112


@contextmanager
def opened(root: Path, name: str) -> Iterator[int]:
    """Open the regular file that `root/name` resolves to, for reading.

    Links are followed: what is believed of a file is its size and digest, and the Hub's client lays
    a cache out as links. Pipes and devices are refused without waiting for them.

    Args:
        name: A relative path that was derived, never one that was found in a file.

    Raises:
        MissingFileError: If it does not exist.
        UnsafeFileError: If it is a pipe, a device, a folder or a link in a circle.
    """
    where = root / name
    try:
        descriptor = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(where, expected="a file", found="none", do=REMEDY) from None
    except OSError as error:
        raise _unsafe(where, str(error.strerror)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unsafe(where, "something else (a folder, pipe or device)")
        yield descriptor
    finally:
        os.close(descriptor)


def read(root: Path, name: str, *, limit_bytes: int, size_bytes: int | None = None) -> bytes:
    """Read a file of at most `limit_bytes` whole, of exactly `size_bytes` if given."""
    with opened(root, name) as descriptor:
        size = _checked_size(descriptor, root / name, limit_bytes, size_bytes)
        if not size:  # files of the system, such as a process's memory, say so and refuse a read
            return b""
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            data = stream.read(size + 1)
    if len(data) != size:
        raise _damaged(root / name, f"{size} bytes", f"{len(data)} while it was read")
    return data


def mapped(root: Path, name: str, *, limit_bytes: int, size_bytes: int | None = None) -> mmap.mmap:
    """Map a file that is not empty, of exactly `size_bytes` if given, into memory for reading."""
    with opened(root, name) as descriptor:
        size = _checked_size(descriptor, root / name, limit_bytes, size_bytes)
        if size == 0:
            raise _damaged(root / name, "content", "an empty file")
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)


def sha256(root: Path, name: str, *, limit_bytes: int, size_bytes: int) -> str:
    """Digest a file of exactly `size_bytes`, which may be 0."""
    with opened(root, name) as descriptor:
        if not _checked_size(descriptor, root / name, limit_bytes, size_bytes):
            return hashlib.sha256().hexdigest()
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked_size(descriptor: int, where: Path, limit_bytes: int, size_bytes: int | None) -> int:
    found = os.fstat(descriptor).st_size
    if size_bytes is not None and found != size_bytes:
        raise _damaged(where, f"{size_bytes} bytes", f"{found} bytes")
    if found > limit_bytes:
        raise UnsafeFileError(
            where,
            expected=f"at most {limit_bytes} bytes",
            found=f"{found} bytes",
            do=REMEDY,
        )
    return found


def _damaged(where: Path, expected: str, found: str) -> DamagedFileError:
    return DamagedFileError(
        where,
        expected=expected,
        found=found,
        do="run: cache-teacher repair, then build again; or get the file again",
    )


def _unsafe(where: Path, found: str) -> UnsafeFileError:
    return UnsafeFileError(
        where,
        expected="a regular file",
        found=found,
        do="do not use this cache",
    )
