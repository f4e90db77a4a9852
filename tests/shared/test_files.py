"""Only regular files inside the cache are opened; nothing else makes a reader follow or wait."""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mixkd.shared import files
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import (
    DamagedFileError,
    MissingFileError,
    MixkdError,
    ModelError,
    UnsafeFileError,
)
from mixkd.shared.models.locate import locate

pytestmark = pytest.mark.timeout(60)  # a reader that waits for a pipe would wait for ever
READERS: dict[str, Callable[[Path, str], object]] = {
    "read": lambda root, name: files.read(root, name, limit_bytes=100),
    "mapped": lambda root, name: files.mapped(root, name, limit_bytes=100, size_bytes=3),
    "sha256": lambda root, name: files.sha256(root, name, limit_bytes=100, size_bytes=3),
}


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> Callable[[Path, str], object]:
    return READERS[request.param]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "absent/b"])
def test_a_name_that_no_system_takes_is_of_nothing(tmp_path: Path, name: str) -> None:
    assert not files.exists(tmp_path / name)
    assert not files.is_folder(tmp_path / name)
    assert not CacheFolder(tmp_path / name).exists()
    with pytest.raises(MissingFileError, match="found nothing"):
        Cache.open(tmp_path / name)
    with pytest.raises(MissingFileError, match="found nothing"):
        verify_cache(tmp_path / name)
    with pytest.raises(ModelError, match="found no such folder"):
        locate(str(tmp_path / name))


def test_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"abc")
    assert files.read(tmp_path, "a/b", limit_bytes=3, size_bytes=3) == b"abc"
    with files.mapped(tmp_path, "a/b", limit_bytes=3, size_bytes=3) as data:
        assert data[:] == b"abc"
        with pytest.raises(TypeError):
            data[0] = 1
    digest = files.sha256(tmp_path, "a/b", limit_bytes=3, size_bytes=3)
    assert digest == hashlib.sha256(b"abc").hexdigest()


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert files.read(tmp_path, "a", limit_bytes=3) == b""
    digest = files.sha256(tmp_path, "a", limit_bytes=3, size_bytes=0)
    assert digest == hashlib.sha256(b"").hexdigest()
    with pytest.raises(DamagedFileError, match="found an empty file"):
        files.mapped(tmp_path, "a", limit_bytes=3, size_bytes=0)


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("real")
    assert files.read(tmp_path / "link", "a", limit_bytes=3) == b"abc"


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path has at most about 100 characters
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize(
    "make",
    [link_to_itself, link_to_a_device, os.mkfifo, link_to_a_pipe, Path.mkdir, unix_socket],
    ids=["loop", "link to a device", "pipe", "link to a pipe", "folder", "socket"],
)
def test_what_is_no_regular_file(
    tmp_path: Path, reader: Callable[[Path, str], object], make: Callable[[Path], object]
) -> None:
    make(tmp_path / "a")
    with pytest.raises(UnsafeFileError, match="a: expected a regular file"):
        reader(tmp_path, "a")


def test_a_device(reader: Callable[[Path, str], object]) -> None:
    with pytest.raises(UnsafeFileError, match="a regular file"):
        reader(Path("/dev"), "zero")


def test_links_to_regular_files_are_read(
    tmp_path: Path, reader: Callable[[Path, str], object]
) -> None:
    """As the Hub's client lays out what it has downloaded."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "a").symlink_to("real/a")
    (tmp_path / "nothing").symlink_to("nowhere")
    read = reader(tmp_path, "real/a")
    for name in ("link/a", "a"):
        assert as_bytes(reader(tmp_path, name)) == as_bytes(read)
    with pytest.raises(MissingFileError, match="nothing: expected a file, found none"):
        reader(tmp_path, "nothing")


def as_bytes(read: object) -> object:
    return read[:] if isinstance(read, mmap.mmap) else read


def test_nothing_there(tmp_path: Path, reader: Callable[[Path, str], object]) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    for name in ("a", "a/b", "file/b"):
        with pytest.raises(MissingFileError, match=f"{name}: expected a file, found none"):
            reader(tmp_path, name)


def test_other_sizes(tmp_path: Path, reader: Callable[[Path, str], object]) -> None:
    (tmp_path / "a").write_bytes(b"x" * 101)
    with pytest.raises(MixkdError, match="found 101 bytes"):
        reader(tmp_path, "a")
    with pytest.raises(DamagedFileError, match="expected 100 bytes, found 101 bytes"):
        files.read(tmp_path, "a", limit_bytes=1000, size_bytes=100)
    with pytest.raises(UnsafeFileError, match="at most 100 bytes, found 101 bytes"):
        files.read(tmp_path, "a", limit_bytes=100)


def test_no_descriptor_is_left(tmp_path: Path, reader: Callable[[Path, str], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * 101)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("pipe", "long", "nothing"):
        with pytest.raises(MixkdError):
            reader(tmp_path, name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
