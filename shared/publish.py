"""Durable local writes: everything that appears in a cache appears whole, or not at all.

A file is written under a temporary name in its folder, synced, closed, opened again and checked,
put in place, and its folder is synced. Nothing else in the project writes into a cache.
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from mixkd.shared import files
from mixkd.shared.errors import DiskError, OutputError, UnsafeFileError

TEMPORARY_MARK = ".tmp-"
CLAIM_MARK = ".claim"
# Nothing else: a loader may be told to open a file of any other name.
TEMPORARY = re.compile(
    f".+({re.escape(TEMPORARY_MARK)}[0-9a-f]{{16}}|{re.escape(CLAIM_MARK)})", re.DOTALL
)
THERE_LIMIT_BYTES = 64 * 2**20
NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
Check = Callable[[bytes], None]


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


def below(root: Path, name: str) -> Path:
    """Return `root/name` for writing, moving or removing; links to elsewhere are not followed.

    Raises:
        UnsafeFileError: If a folder between `root` and the file is a link.
    """
    folder = root
    for part in Path(name).parts[:-1]:
        folder = folder / part
        if folder.is_symlink():
            raise UnsafeFileError(
                folder,
                expected="a folder of the cache itself, since something is to be written there",
                found="a link",
                do="put the folder that it leads to in its place",
            )
    return root / name


def replace(path: Path, data: bytes, check: Check | None = None) -> None:
    """Put a file in place, whatever was there: for names derived from content, and MANIFEST."""
    temporary = _written(path, data, check)
    try:
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        raise _disk(path, error) from None
    sync_folder(path.parent)


def create(path: Path, data: bytes) -> bytes | None:
    """Create a file exclusively; of several that try, one succeeds.

    Returns:
        None if this call created the file, else the content that was there: equal to `data` if
        another one wrote the same, or if a file system reported a failure after it had succeeded.
    """
    temporary = _written(path, data, None)
    there = None
    try:
        _link(temporary, path)
    except FileExistsError:
        there = _content(path, max(len(data), THERE_LIMIT_BYTES))
    except OSError as error:
        raise _disk(path, error) from None
    finally:
        _remove(temporary)
    sync_folder(path.parent)  # also for what another one linked and may not have synced yet
    return there


def move(path: Path, target: Path) -> None:
    """Rename a file durably, for quarantine."""
    folder(target.parent)
    try:
        os.replace(path, target)
    except OSError as error:
        raise _disk(path, error) from None
    sync_folder(target.parent)
    sync_folder(path.parent)


def place(path: Path, target: Path) -> None:
    """Put a settled file at `target` too, which another file there keeps from happening.

    Raises:
        OutputError: If something else has that name; the same content there is fine.
    """
    try:
        _link(path, target)
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
    sync_folder(target.parent)


def remove(path: Path) -> None:
    """Remove a file that nobody needs, durably; one that is gone already is fine."""
    _remove(path)
    sync_folder(path.parent)


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
    try:
        while not above.exists() and above != above.parent:
            above = above.parent
    except OSError as error:
        raise unwritable(root, error) from None
    if not above.is_dir():
        raise OutputError(above, expected="a folder", found="a file", do="choose another --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise unwritable(above, PermissionError(errno.EACCES, "no permission to write"))


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error for an output that cannot be written."""
    return OutputError(
        path,
        expected="a folder that can be written",
        found=error.strerror or str(error),
        do="choose another --out or change its permissions",
    )


def temporary_beside(path: Path) -> Path:
    """Make a name that nobody else uses, for what becomes `path` once it is whole."""
    return path.with_name(f"{path.name}{TEMPORARY_MARK}{secrets.token_hex(8)}")


def is_temporary(name: str) -> bool:
    return TEMPORARY.fullmatch(name) is not None


def _same_content(path: Path, target: Path) -> bool:
    try:
        return not target.is_symlink() and filecmp.cmp(path, target, shallow=False)
    except OSError as error:
        raise _disk(target, error) from None


def _content(path: Path, limit_bytes: int) -> bytes:
    try:
        return files.read(path.parent, path.name, limit_bytes=limit_bytes)
    except OSError as error:
        raise _disk(path, error) from None


def _umask() -> int:
    """Read the process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _written(path: Path, data: bytes, check: Check | None) -> Path:
    """Write a temporary file beside `path`: synced, read back and checked."""
    temporary = temporary_beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            rest = memoryview(data)
            while rest:
                written = os.write(descriptor, rest)
                if not written:
                    raise OSError(errno.EIO, "nothing was written")
                rest = rest[written:]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _read_back(path, temporary, data, check)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError):
            raise _disk(path, error) from None
        raise
    return temporary


def _read_back(path: Path, temporary: Path, data: bytes, check: Check | None) -> None:
    found = temporary.read_bytes()
    if found != data:
        raise DiskError(
            path,
            expected=f"the {len(data)} bytes that were written",
            found=f"{len(found)} other bytes when they were read back",
            do="check the disk; nothing was committed",
        )
    if check is not None:
        check(found)


def _link(temporary: Path, path: Path) -> None:
    """Link, which fails if `path` exists; without hard links, rename under a claim."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        _rename_under_claim(temporary, path)


def _rename_under_claim(temporary: Path, path: Path) -> None:
    """Rename where hard links are refused: one builder at a time; a crash leaves the claim."""
    claim = path.with_name(path.name + CLAIM_MARK)
    try:
        os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        raise DiskError(
            claim,
            expected="no other builder on a file system without hard links",
            found="another builder's claim",
            do="wait for it; if none runs, remove this file",
        ) from None
    try:
        if path.exists():
            raise FileExistsError(path)
        os.replace(temporary, path)
    finally:
        _remove(claim)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, whoever put them there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _disk(path, error) from None


def _remove(path: Path) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _disk(path, error) from None


def _disk(path: Path, error: OSError) -> DiskError:
    return DiskError(
        path,
        expected="to write it durably",
        found=error.strerror or str(error),
        do="free space or repair the disk, then run the same command again: it continues",
    )
