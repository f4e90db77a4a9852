"""Names in an open folder: written, linked, renamed and removed through its descriptor.

A path is walked once, part by part, so nobody can put a link in between a check and a use.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mixkd.shared import files
from mixkd.shared.content import Content
from mixkd.shared.errors import DamagedFileError, DiskError, UnsafeFileError

TEMPORARY_MARK = ".tmp-"
CLAIM_MARK = ".claim"
# Nothing else: a loader may be told to open a file of any other name.
TEMPORARY = re.compile(
    f".+({re.escape(TEMPORARY_MARK)}[0-9a-f]{{16}}|{re.escape(CLAIM_MARK)})", re.DOTALL
)
EXISTING_LIMIT_BYTES = 64 * 2**20
NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
ATTEMPTS = 3
AS_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
AS_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
Check = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """A folder by its descriptor; `path` says in messages where it was. All raise OSError."""

    path: Path
    descriptor: int

    def sync(self) -> None:
        """Make the names in it durable, whoever put them there."""
        os.fsync(self.descriptor)

    def replace(self, name: str, data: bytes | Content, check: Check | None) -> None:
        """Put a file in place of whatever has the name."""
        self._put(name, data, check, self._rename)
        self.sync()

    def create(self, name: str, data: bytes) -> bytes | None:
        """Create a file exclusively; return None, or the content of the one that exists."""
        try:
            self._put(name, data, None, self._link)
            existing = None
        except FileExistsError:
            limit_bytes = max(len(data), EXISTING_LIMIT_BYTES)
            existing = files.read(self.path, name, limit_bytes=limit_bytes)
        self.sync()  # also for what another one linked and may not have synced yet
        return existing

    def create_large(self, name: str, content: Content) -> bool:
        """Create a file exclusively; say whether the file of that name now has the content."""
        try:
            self._put(name, content, None, self._link)
            same = True
        except FileExistsError:
            same = self._has_content(name, content)
        self.sync()
        return same

    def move(self, name: str, other: OpenFolder, other_name: str) -> None:
        """Rename anything into another folder, durably in both."""
        os.replace(name, other_name, src_dir_fd=self.descriptor, dst_dir_fd=other.descriptor)
        other.sync()
        if other.path != self.path:
            self.sync()

    def link(self, name: str, other: OpenFolder, other_name: str) -> None:
        """Give a file a name in another folder, which fails if something has it.

        Without hard links the file is renamed, under a claim.
        """
        try:
            os.link(
                name,
                other_name,
                src_dir_fd=self.descriptor,
                dst_dir_fd=other.descriptor,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            self._rename_under_claim(name, other, other_name)

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is fine."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            pass

    def has(self, name: str) -> bool:
        """Look whether anything has the name, a link to nothing included."""
        return self._mode(name) is not None

    @contextmanager
    def entered(self, name: str, make: bool) -> Iterator[OpenFolder]:
        """Open a folder in this one, not through a link; `make` creates it durably.

        Raises:
            UnsafeFileError: If it is a link, or not a folder.
        """
        try:
            descriptor = self._enter(name)
        except FileNotFoundError:
            if not make:
                raise
            try:
                os.mkdir(name, dir_fd=self.descriptor)
            except FileExistsError:
                pass
            self.sync()
            descriptor = self._enter(name)
        try:
            yield OpenFolder(self.path / name, descriptor)
        finally:
            os.close(descriptor)

    def _enter(self, name: str) -> int:
        try:
            return os.open(name, AS_FOLDER | os.O_NOFOLLOW, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
                raise
            link = stat.S_ISLNK(self._mode(name) or 0)
            raise UnsafeFileError(
                self.path / name,
                expected="a folder of the cache itself, since something is to be written there",
                found="a link" if link else "something else (a file, pipe or device)",
                do="put the folder that it leads to in its place" if link else "move it away",
            ) from None

    def _mode(self, name: str) -> int | None:
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None

    def _put(
        self,
        name: str,
        data: bytes | Content,
        check: Check | None,
        put: Callable[[str, str], None],
    ) -> None:
        """Write a temporary file and `put` it in place, whatever happens to it in between.

        A repair removes temporary files of a day ago: of a builder that slept for so long too.
        """
        for attempt in range(1, ATTEMPTS + 1):
            temporary = self._written(name, data, check)
            try:
                put(temporary, name)
                return
            except BaseException as error:
                self.remove(temporary)
                if not isinstance(error, FileNotFoundError) or attempt == ATTEMPTS:
                    raise

    def _written(self, name: str, data: bytes | Content, check: Check | None) -> str:
        """Write a temporary file for `name`: synced, read back and checked."""
        temporary = temporary_name(name)
        try:
            descriptor = os.open(temporary, AS_NEW_FILE, 0o666, dir_fd=self.descriptor)
            try:
                if isinstance(data, Content):
                    data.write_to(partial(_write, descriptor))
                else:
                    _write(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._read_back(name, temporary, data, check)
        except BaseException:
            self.remove(temporary)
            raise
        return temporary

    def _has_content(self, name: str, content: Content) -> bool:
        size_bytes = content.size_bytes
        try:
            found = files.sha256(self.path, name, limit_bytes=size_bytes, size_bytes=size_bytes)
        except DamagedFileError:  # of a different size
            return False
        return found == content.sha256

    def _read_back(
        self, name: str, temporary: str, data: bytes | Content, check: Check | None
    ) -> None:
        if isinstance(data, Content):
            if not self._has_content(temporary, data):
                raise self._other_bytes(name, data.size_bytes, "other bytes")
            return
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, dir_fd=self.descriptor), "rb") as stream:
            actual = stream.read()
        if actual != data:
            raise self._other_bytes(name, len(data), f"{len(actual)} other bytes")
        if check is not None:
            check(actual)

    def _other_bytes(self, name: str, size_bytes: int, found: str) -> DiskError:
        return DiskError(
            self.path / name,
            expected=f"the {size_bytes} bytes that were written",
            found=f"{found} when they were read back",
            do="check the disk; nothing was committed",
        )

    def _rename(self, temporary: str, name: str) -> None:
        try:
            os.replace(temporary, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except IsADirectoryError:
            raise UnsafeFileError(
                self.path / name,
                expected="a file, or nothing",
                found="a folder",
                do="move it away, then run the same command again",
            ) from None

    def _link(self, temporary: str, name: str) -> None:
        self.link(temporary, self, name)
        self.remove(temporary)

    def _rename_under_claim(self, name: str, other: OpenFolder, other_name: str) -> None:
        """Rename where hard links are refused: one builder at a time; a crash leaves the claim."""
        claim = other_name + CLAIM_MARK
        try:
            os.close(os.open(claim, AS_NEW_FILE, dir_fd=other.descriptor))
        except FileExistsError:
            raise DiskError(
                other.path / claim,
                expected="no other builder on a file system without hard links",
                found="another builder's claim",
                do="wait for it; if none runs, remove this file",
            ) from None
        try:
            if other.has(other_name):
                raise FileExistsError(other_name)
            os.replace(name, other_name, src_dir_fd=self.descriptor, dst_dir_fd=other.descriptor)
        finally:
            other.remove(claim)


def _write(descriptor: int, data: Any) -> None:
    rest = memoryview(data)
    while rest:
        written = os.write(descriptor, rest)
        if not written:
            raise OSError(errno.EIO, "nothing was written")
        rest = rest[written:]


@contextmanager
def opened(root: Path, parts: Sequence[str] = (), make: bool = False) -> Iterator[OpenFolder]:
    """Open `root`, which may be a link, and the folders below it, which may not.

    With `make`, each is created durably; what a killed process created is synced again.
    """
    with ExitStack() as stack:
        folder = OpenFolder(root, os.open(root, AS_FOLDER))
        stack.callback(os.close, folder.descriptor)
        for depth, part in enumerate(parts):
            child = stack.enter_context(folder.entered(part, make))
            if make and depth:
                folder.sync()
            folder = child
        yield folder


def temporary_name(name: str) -> str:
    """Make a name that nobody else uses, for what becomes `name` once it is whole."""
    return f"{name}{TEMPORARY_MARK}{secrets.token_hex(8)}"


def is_temporary(name: str) -> bool:
    """Look whether a name is of a temporary file or a claim."""
    return TEMPORARY.fullmatch(name) is not None
