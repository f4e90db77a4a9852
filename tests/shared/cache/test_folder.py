"""Names are listed only up to what a cache can have: directory entries cost an attacker nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mixkd.shared.cache import folder as module
from mixkd.shared.cache.folder import ENTRIES_LIMIT, CacheFolder
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.seal import SEALS_LIMIT
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import UnsafeFileError
from tests import caches, tiers
from tests.numpy_caches import sealed


def fill(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for number in range(count):
        os.close(os.open(folder / f"{number:064x}.json", os.O_CREAT | os.O_WRONLY))


def test_names_and_files(tmp_path: Path) -> None:
    for name in ("a/b/c", "a/d", "e", "1/2/3/4/5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    folder = CacheFolder(tmp_path)
    assert folder.files() == ["1/2/3/4/5", "a/b/c", "a/d", "e", "link"]
    assert sorted(folder.listed("a")) == ["b", "d"]
    assert folder.listed("nothing") == folder.listed("e") == []


def test_folders_within_folders_are_not_followed_for_ever(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(60):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "x").touch()
    (tmp_path / "y").touch()
    assert CacheFolder(tmp_path).files() == ["y"]


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    (tmp_path / "seals").symlink_to("seals")
    with pytest.raises(UnsafeFileError, match="seals: expected a folder that can be listed"):
        CacheFolder(tmp_path).names("seals")


def test_too_many_files_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        fill(tmp_path / name, 10)
    monkeypatch.setattr(module, "FILES_LIMIT", 30)
    assert len(CacheFolder(tmp_path).files()) == 30
    monkeypatch.setattr(module, "FILES_LIMIT", 29)
    with pytest.raises(UnsafeFileError, match="files, found more; move aside"):
        CacheFolder(tmp_path).files()


@pytest.mark.parametrize(
    ("place", "count"),
    [("seals", SEALS_LIMIT), tiers.slow("commits", ENTRIES_LIMIT)],
)
@pytest.mark.parametrize(
    "command", [verify_cache, repair_cache, caches.seal, lambda root: sealed(root, 32)]
)
def test_each_command_refuses_too_many_names(
    tmp_path: Path, place: str, count: int, command: Callable[[Path], object]
) -> None:
    root = sealed(tmp_path / "cache", 16)
    fill(root / place, count)
    with pytest.raises(UnsafeFileError, match=f"{place}: expected at most {count} files, found mo"):
        command(root)
    assert Cache.open(root).seal.rows.pairs == 16  # it is read all the same


def test_what_a_build_left_in_other_folders_harms_nobody(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 16)
    for place in ("data", "runs", "quarantine"):
        fill(root / place, 300)
    assert all(finding.harmless for finding in verify_cache(root))
    assert repair_cache(root) == []
    sealed(root, 32)
    assert CacheWriter.open(root).seal() == Cache.open(root).pin
