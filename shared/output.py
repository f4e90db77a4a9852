"""The folder that a command fills: claimed before any work, filled aside, published whole."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mixkd.shared import publish
from mixkd.shared.errors import DiskError, MixkdError, OutputError

log = logging.getLogger(__name__)
NAMES_SHOWN = 5
LOCK = "lock"
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def check_output(
    out: Path,
    own: Callable[[str], bool] = lambda name: False,
    *,
    expected: str = "a new or empty folder",
) -> set[str]:
    """Refuse a folder that holds something else, or cannot be written.

    Args:
        own: Name -> whether this command may find it there.
        expected: For the message.

    Returns:
        The names in the folder.

    Raises:
        OutputError: Naming what is there and what to do.
    """
    publish.check_writable(out)
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    foreign = sorted(name for name in names if not own(name))
    if foreign:
        raise OutputError(
            out,
            expected=expected,
            found=", ".join(foreign[:NAMES_SHOWN]),
            do="choose another --out, or remove them",
        )
    return names


@dataclass(frozen=True, slots=True)
class Claim:
    """The lock of a run on its output."""

    out: Path
    lock: Path
    descriptor: int

    def check(self) -> None:
        """Refuse to write into a folder that took the place of the one that was claimed.

        Raises:
            OutputError: Naming the folder.
        """
        if not _is_open_at(self.descriptor, self.lock):
            raise OutputError(
                self.out,
                expected="the folder that this run claimed",
                found="that it was moved or removed",
                do="put it back, then continue with --resume",
            )


@contextmanager
def claimed(working: Path, out: Path) -> Iterator[Claim]:
    """Hold the lock of `out`, the file `lock` in the folder `working`, during the block.

    The kernel releases a lock when its process dies, however that happens: no claim is left behind.
    Where a file system has no locks a warning says so, and nothing keeps two runs apart.
    An empty `working` is removed afterwards.

    Raises:
        OutputError: If another run holds it, or `working` cannot be written.
    """
    descriptor = _locked(working, out)
    try:
        yield Claim(out, working / LOCK, descriptor)
    finally:
        # Removed while it is locked: who opened it before sees that it is gone, and begins again.
        if _is_open_at(descriptor, working / LOCK):
            with suppress(OSError):
                (working / LOCK).unlink()
                working.rmdir()
        os.close(descriptor)


def _locked(working: Path, out: Path) -> int:
    lock = working / LOCK
    while True:
        publish.folder(working)
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            continue  # the run that held it has just removed the folder
        except OSError as error:
            raise publish.unwritable(out, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise OutputError(
                out,
                expected="a folder that no other run writes",
                found="a run that is going on",
                do="wait until it has ended, or choose another --out",
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(descriptor)
                raise publish.unwritable(out, error) from None
            log.warning("%s: this file system has no locks; start no second run there", out)
        if _is_open_at(descriptor, lock):
            return descriptor
        os.close(descriptor)


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder of our own, for libraries that read or write by path.

    Raises:
        DiskError: If the disk refuses, where nothing in the block names it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="mixkd-") as name:
            yield Path(name)
    except Exception as error:
        if not failed_on_disk(error):
            raise
        raise DiskError(
            tempfile.gettempdir(),
            expected="room for temporary files",
            found=str(error)[:120],
            do="free space there, or let TMPDIR name a different folder",
        ) from error


def failed_on_disk(error: BaseException) -> bool:
    """Tell whether an error is the disk's; libraries written in Rust have no class for it."""
    return isinstance(error, OSError) or "(os error " in str(error)


@contextmanager
def filled_aside(
    aside: Path, write: Callable[[Path], None], failure: Callable[[Exception], MixkdError]
) -> Iterator[None]:
    """Let `write` fill the folder `aside` durably; in the block the caller puts it in place.

    Whatever fails, nothing stays aside.

    Args:
        failure: An error of the disk -> the named error to raise.
    """
    try:
        shutil.rmtree(aside, ignore_errors=True)
        publish.folder(aside)
        write(aside)
        publish.settle(aside)
        yield
    except MixkdError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, Exception) and failed_on_disk(error):
            raise failure(error) from error
        raise
