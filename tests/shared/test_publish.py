"""What is published appears whole, once, and leaves nothing else behind."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared import cache, publish
from mixkd.shared.content import Content, Sink
from mixkd.shared.errors import DiskError, MissingFileError, OutputError, UnsafeFileError


def create(path: Path, data: bytes) -> bytes | None:
    return publish.Root(path.parent).create(path.name, data)


def replace(path: Path, data: bytes, check: Callable[[bytes], None] | None = None) -> None:
    publish.Root(path.parent).replace(path.name, data, check)


def remove(path: Path) -> None:
    publish.Root(path.parent).remove(path.name)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_create_is_exclusive_and_idempotent(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert create(path, b"first") is None
    assert create(path, b"first") == b"first"
    assert create(path, b"second") == b"first"
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["a.json"]


def test_of_many_creators_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    found: list[bytes | None] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        found.append(create(path, b"%d" % number * 1000))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(None) == 1
    assert found.count(path.read_bytes()) == 7
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("kind", ["folder", "link", "large"])
def test_what_is_there_and_cannot_be_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("nowhere")
    else:
        with path.open("wb") as file:
            file.truncate(2**40)  # of holes
    with pytest.raises((UnsafeFileError, MissingFileError), match="/a: expected"):
        create(path, b"x")
    assert names(tmp_path) == ["a"]


def test_replace(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"first", b"", b"second" * 100_000):
        replace(path, data)
        assert path.read_bytes() == data
    assert names(tmp_path) == ["a"]


def test_a_failed_check_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    replace(path, b"good")
    seen: list[bytes] = []

    def check(found: bytes) -> None:
        seen.append(found)
        raise DiskError(path, expected="good", found="bad", do="nothing")

    with pytest.raises(DiskError, match="expected good, found bad"):
        replace(path, b"bad", check)
    assert (seen, path.read_bytes()) == ([b"bad"], b"good")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_no_temporary_is_left_after_any_exception(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def check(found: bytes) -> None:
        raise error

    with pytest.raises(error):
        replace(tmp_path / "a", b"x", check)
    assert names(tmp_path) == []


def test_other_bytes_when_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that loses a write without a word."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda to, data: real(to, bytes(len(data))))
    for publication in (create, replace):
        with pytest.raises(DiskError, match="a: expected the 3 bytes that were written, found 3"):
            publication(tmp_path / "a", b"abc")
    assert names(tmp_path) == []


@pytest.mark.parametrize("pieces", [[b"a", b"bc"], [bytes(2**20 + 1), b"x", bytes(2**21)], []])
def test_large_content_is_written_in_pieces_and_known_by_its_digest(
    tmp_path: Path, pieces: list[bytes]
) -> None:
    def content(pieces: list[bytes]) -> Content:
        return Content.of(lambda sink: [sink.write(piece) for piece in pieces])

    disk, whole = publish.Root(tmp_path), b"".join(pieces)
    made = content(pieces)
    assert (made.size_bytes, made.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert disk.create_large("a", made)
    assert (tmp_path / "a").read_bytes() == whole
    assert disk.create_large("a", Content.of_bytes(whole))  # another builder's, the same
    assert not disk.create_large("a", content([*pieces, b"y"]))
    assert not disk.create_large("a", content([b"z" * len(whole)])) or not whole
    assert names(tmp_path) == ["a"]


def test_large_content_that_is_read_back_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda to, data: real(to, bytes(len(data))))
    with pytest.raises(DiskError, match="a: expected the 3 bytes that were written, found other"):
        publish.Root(tmp_path).create_large("a", Content.of_bytes(b"abc"))
    assert names(tmp_path) == []


@pytest.mark.parametrize("operation", ["open", "write", "fsync", "replace", "link"])
def test_a_full_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    publication = create if operation == "link" else replace
    with monkeypatch.context() as patch:
        patch.setattr(os, operation, full)
        with pytest.raises(DiskError, match="a: expected to write it durably, found No space left"):
            publication(tmp_path / "a", b"abc")
    assert names(tmp_path) == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda to, data: real(to, data[:3]))
    replace(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_disk_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked for ever."""
    monkeypatch.setattr(os, "write", lambda to, data: 0)
    with pytest.raises(DiskError, match="found nothing was written"):
        replace(tmp_path / "a", b"0123456789")
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", sorted(publish.NO_HARD_LINKS))
def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a"
    assert create(path, b"first") is None
    assert create(path, b"second") == b"first"
    assert names(tmp_path) == ["a"]
    (tmp_path / "b.claim").touch()
    with pytest.raises(DiskError, match=r"b\.claim: .*another builder's claim"):
        create(tmp_path / "b", b"x")
    assert names(tmp_path) == ["a", "b.claim"]


def test_every_file_and_its_folder_are_synced(tmp_path: Path, synced: list[str]) -> None:
    for publication in (create, replace):
        publication(tmp_path / "a", b"x")
        assert publish.is_temporary(synced[0])
        assert synced[1:] == [tmp_path.name]
        synced.clear()
    publish.folder(tmp_path / "b" / "c")
    assert synced == [tmp_path.name, "b"]


def test_moves_and_removals_are_synced(tmp_path: Path, synced: list[str]) -> None:
    """A move in both folders: a name may otherwise come back, or be in neither."""
    publish.folder(tmp_path / "aside")
    replace(tmp_path / "a", b"x")
    synced.clear()
    publish.move(tmp_path / "a", tmp_path / "aside" / "a")
    assert sorted(synced) == sorted(["aside", tmp_path.name])
    synced.clear()
    remove(tmp_path / "aside" / "a")
    assert synced == ["aside"]


@pytest.mark.parametrize("operation", ["create", "replace", "move", "remove"])
def test_a_link_that_appears_between_look_and_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Nothing reaches what it leads to: the folder that was looked at is the one that is used."""
    root = publish.Root(tmp_path / "cache")
    bait = tmp_path / "bait"
    bait.mkdir()
    for folder in (bait, root.path / "data"):
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "a").write_bytes(b"theirs")
    used = {"create": "open", "replace": "open", "move": "replace", "remove": "unlink"}[operation]
    real = getattr(os, used)

    def swapped(*arguments: Any, **more: Any) -> Any:
        if used != "open" or arguments[1] & os.O_CREAT:
            (root.path / "data").rename(root.path / "aside")
            (root.path / "data").symlink_to(bait)
            monkeypatch.setattr(os, used, real)
        return real(*arguments, **more)

    monkeypatch.setattr(os, used, swapped)
    arguments = {"create": ["data/b", b"x"], "replace": ["data/a", b"x"], "move": ["data/a", "c"]}
    getattr(root, operation)(*arguments.get(operation, ["data/a"]))
    assert (root.path / "data").is_symlink()
    assert names(bait) == ["a"]
    assert (bait / "a").read_bytes() == b"theirs"


def test_a_folder_below_the_root_may_not_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "cache").symlink_to("real")  # the user's own choice
    root = publish.Root(tmp_path / "cache")
    root.create("a/b/c", b"x")
    assert (tmp_path / "real/a/b/c").read_bytes() == b"x"
    (tmp_path / "real/link").symlink_to("a")
    (tmp_path / "real/file").write_bytes(b"")
    for act in (
        lambda name: root.create(f"{name}/b", b"x"),
        lambda name: root.replace(f"{name}/b/c", b"x"),
        lambda name: root.remove(f"{name}/b/c"),
        lambda name: root.move(f"{name}/b", "d"),
        lambda name: root.move("a/b/c", f"{name}/c"),
    ):
        with pytest.raises(UnsafeFileError, match="link: expected a folder .*, found a link"):
            act("link")
        with pytest.raises(UnsafeFileError, match="file: expected a folder .*, found something"):
            act("file")
    assert names(tmp_path / "real/a/b") == ["c"]


def test_every_new_folder_is_durable_in_the_one_above(tmp_path: Path, synced: list[str]) -> None:
    publish.Root(tmp_path).create("a/b/c", b"x")
    assert [name for name in synced if ".tmp-" not in name] == [tmp_path.name, "a", "a", "b"]
    synced.clear()
    publish.Root(tmp_path).create("a/b/d", b"x")  # a killed build may not have synced a
    assert [name for name in synced if ".tmp-" not in name] == ["a", "b"]


@pytest.mark.parametrize("operation", ["link", "replace"])
def test_a_temporary_that_somebody_removed_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """A repair takes what is a day old: this builder stood still, or the clock jumped."""
    real = getattr(os, operation)

    def late(temporary: str, *arguments: Any, **more: Any) -> Any:
        (tmp_path / temporary).unlink()
        monkeypatch.setattr(os, operation, real)
        return real(temporary, *arguments, **more)

    monkeypatch.setattr(os, operation, late)
    (create if operation == "link" else replace)(tmp_path / "a", b"x")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"x"


def test_folders(tmp_path: Path) -> None:
    publish.folder(tmp_path / "a" / "b")
    publish.folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="expected a folder, found a file"):
        publish.folder(tmp_path / "file")


def test_move_and_remove(tmp_path: Path) -> None:
    replace(tmp_path / "a", b"x")
    publish.move(tmp_path / "a", tmp_path / "aside" / "a")
    assert (tmp_path / "aside" / "a").read_bytes() == b"x"
    remove(tmp_path / "aside" / "a")
    remove(tmp_path / "aside" / "a")
    assert names(tmp_path / "aside") == []


def test_writable(tmp_path: Path) -> None:
    publish.check_writable(tmp_path / "new" / "cache")
    assert names(tmp_path) == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file: expected a folder, found a file"):
        publish.check_writable(tmp_path / "file" / "cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="a folder that can be written"):
        publish.check_writable(tmp_path / "cache")


def test_what_writes_into_a_cache_goes_through_a_root() -> None:
    """By path, a caller could forget that a folder may be a link."""
    by_path = re.compile(
        r"publish\.(?!Root\b|is_temporary\b|temporary_name\b)\w+"
        r"|\.(write_bytes|write_text|unlink|rename|mkdir|touch)\("
        r"|\bos\.(open|replace|rename|link|unlink|remove|mkdir|makedirs)\("
    )
    modules = list(Path(cache.__file__).parent.rglob("*.py"))
    assert len(modules) > 15
    for module in modules:
        assert not by_path.findall(module.read_text(encoding="utf-8")), module


def parts(*given: bytes) -> Content:
    return Content.of(lambda sink: [sink.write(part) for part in given])


def test_a_file_is_replaced_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = os.write, list[int]()

    def short(to: int, data: bytes) -> int:
        written.append(real(to, data[:3]))
        return written[-1]

    monkeypatch.setattr(os, "write", short)
    root = publish.Root(tmp_path)
    root.replace("a/b", parts(b"other"))
    root.replace("a/b", parts(b"0123", b"", b"45"))
    assert (tmp_path / "a/b").read_bytes() == b"012345"
    assert written == [3, 2, 3, 3]  # small pieces are written together
    assert names(tmp_path / "a") == ["b"]


def test_parts_that_are_read_back_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda to, data: real(to, bytes(len(data))))
    message = "a: expected the 5 bytes that were written, found other bytes"
    with pytest.raises(DiskError, match=message):
        publish.Root(tmp_path).replace("a", parts(b"abc", b"de"))
    assert names(tmp_path) == []


def test_parts_that_end_in_an_error_leave_what_was_there(tmp_path: Path) -> None:
    def broken(sink: Sink) -> None:
        sink.write(b"abc")
        if len(begun) == 1:
            raise ZeroDivisionError
        begun.append(sink)

    begun: list[Sink] = []
    replace(tmp_path / "a", b"good")
    with pytest.raises(ZeroDivisionError):
        publish.Root(tmp_path).replace("a", Content.of(broken))
    assert (tmp_path / "a").read_bytes() == b"good"
    assert names(tmp_path) == ["a"]


def test_a_temporary_of_parts_that_somebody_removed_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = os.replace, list[str]()

    def once(source: str, target: str, **more: Any) -> None:
        tries.append(source)
        if len(tries) == 1:
            os.unlink(source, dir_fd=more["src_dir_fd"])
        real(source, target, **more)

    monkeypatch.setattr(os, "replace", once)
    publish.Root(tmp_path).replace("a", parts(b"abc"))
    assert (tmp_path / "a").read_bytes() == b"abc"
    assert len(tries) == 2
