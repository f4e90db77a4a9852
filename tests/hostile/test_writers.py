"""What writes, moves or removes never follows a link of the cache to elsewhere.

A reader may: what it believes is a size and a digest. A writer would spoil what somebody keeps.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.seal import MANIFEST
from mixkd.shared.errors import MissingFileError, UnsafeFileError
from mixkd.teacher_cache.build import Built
from mixkd.teacher_cache.run import RunFacts, _note_run
from tests import caches
from tests.numpy_caches import Scorer, accept, contents, job, sealed

PAIRS, MORE_PAIRS = 40, 60


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return sealed(tmp_path / "cache", PAIRS)


def linked(root: Path, name: str) -> Path:
    """Move a folder of the cache outside, or create it there, and link to it."""
    folder, outside = root / name, root.parent / "outside"
    if folder.exists():
        shutil.move(folder, outside)
    else:
        outside.mkdir()
        folder.parent.mkdir(exist_ok=True)
    (outside / "theirs").write_bytes(b"theirs")
    folder.symlink_to(outside)
    return outside


def refused(act: Callable[[], object], outside: Path, name: str) -> None:
    """Run what must end in the error that names the link, and leave everything outside alone."""
    before = contents(outside)
    with pytest.raises(UnsafeFileError, match=f"{name}: expected a folder .* found a link"):
        act()
    assert contents(outside) == before


def extend(root: Path) -> None:
    caches.build(job(root, MORE_PAIRS), Scorer(), accept)


def extend_and_seal(root: Path) -> None:
    extend(root)
    caches.seal(root)


def note_run(root: Path) -> None:
    _note_run(root, RunFacts.of(Built(1, 0, 1.0, True), caches.NO_TORCH))


def damage(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("data", extend),
        ("commits", extend),
        ("seals", extend_and_seal),
        ("runs", note_run),
    ],
)
def test_an_extending_build_does_not_follow_links(
    root: Path, name: str, act: Callable[[Path], None]
) -> None:
    outside = linked(root, name)
    refused(lambda: act(root), outside, name)


@pytest.mark.parametrize("name", ["data", "commits", "seals", "examples", "tokenizer"])
def test_a_new_build_does_not_follow_links(tmp_path: Path, name: str) -> None:
    """Somebody prepared the output: an empty folder but for a link."""
    root = tmp_path / "cache"
    outside = linked(root, name)

    def build() -> None:
        caches.build_sealed(job(root, PAIRS), Scorer())

    refused(build, outside, name)


def test_a_new_build_does_not_follow_a_link_of_a_start(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    outside = linked(root, "student_init")
    refused(lambda: caches.build_sealed(job(root, PAIRS), Scorer()), outside, "student_init")


def test_seal_does_not_follow_links(root: Path) -> None:
    outside = linked(root, "seals")
    refused(lambda: caches.seal(root), outside, "seals")


@pytest.mark.parametrize("name", ["commits", "data"])
def test_seal_writes_nothing_where_it_only_reads(root: Path, name: str) -> None:
    outside = linked(root, name)
    before = contents(outside)
    caches.seal(root)
    assert contents(outside) == before


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("commits", "commits/pairs-*"),
        ("data", "data/pairs-*"),
        ("seals", "data/pairs-*"),
        ("quarantine", "data/pairs-*"),
        ("quarantine/commits", "commits/pairs-*"),
        ("quarantine/commits", "data/pairs-*"),
        ("quarantine/data", "data/pairs-*"),
        ("quarantine/seals", "data/pairs-*"),
    ],
)
def test_repair_does_not_follow_links(root: Path, name: str, damaged: str) -> None:
    outside = linked(root, name)
    damage(sorted(root.glob(damaged))[0])
    refused(lambda: repair_cache(root), outside, name)


@pytest.mark.parametrize("name", ["commits", "data", "seals", "examples", "runs"])
def test_repair_removes_nothing_behind_a_link(root: Path, name: str) -> None:
    outside = linked(root, name)
    stale = outside / "theirs.tmp-0123456789abcdef"
    stale.write_bytes(b"theirs")
    os.utime(stale, (0, 0))
    before = contents(outside)
    with suppress(UnsafeFileError):
        repair_cache(root)
    assert contents(outside) == before


@pytest.mark.parametrize("name", [MANIFEST, "README.md", "rows/train.arrow"])
def test_a_linked_file_is_replaced_where_it_lies(root: Path, name: str) -> None:
    """Not written through: what the link leads to stays as it was."""
    outside = root.parent / "outside"
    (outside / name).parent.mkdir(parents=True)
    shutil.move(root / name, outside / name)
    (root / name).symlink_to(outside / name)
    if name.startswith("rows"):  # those that are right already are left as they are
        (outside / name).write_bytes(b"other rows")
    before = contents(outside)
    extend_and_seal(root)
    assert contents(outside) == before
    assert not (root / name).is_symlink()


def test_a_record_that_is_a_link_is_not_written_through(root: Path) -> None:
    """A dangling link under the name of a record to come: somebody has that name already."""
    target = root.parent / "target"
    (root / "commits/pairs-000000040.json").symlink_to(target)
    with pytest.raises(MissingFileError, match=r"commits/pairs-000000040\.json"):
        extend(root)
    assert not target.exists()
