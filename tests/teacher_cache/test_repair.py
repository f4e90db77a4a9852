"""Verify, repair, build, verify: damage goes aside, gaps are filled, good shards stay untouched."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.reader import Cache
from teacher_cache.repair import repair
from teacher_cache.verify import verify
from tests.goldens import make


@pytest.fixture(params=make.FORMATS)
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make.make(tmp_path / "cache", request.param)


def shard_of(root: Path) -> Path:
    return root / Cache.open(root).pair_records[1].file


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a flipped bit in a shard": lambda root: flip(shard_of(root)),
    "a cut shard": lambda root: os.truncate(shard_of(root), 100),
    "a lost shard": lambda root: shard_of(root).unlink(),
    "a flipped bit in a record": lambda root: flip(root / "commits/pairs-000000016.json"),
    "a lost record": lambda root: (root / "commits/pairs-000000016.json").unlink(),
    "a flipped bit in the manifest": lambda root: flip(root / "MANIFEST.json"),
    "a lost manifest": lambda root: (root / "MANIFEST.json").unlink(),
    "a flipped bit in a seal": lambda root: flip(next((root / "seals").glob("*"))),
    "every seal lost": lambda root: shutil.rmtree(root / "seals"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_repaired_and_filled(cache: Path, damage: str) -> None:
    manifest = (cache / "MANIFEST.json").read_bytes()
    bad = shard_of(cache)
    inodes = {path: path.stat().st_ino for path in (cache / "data").iterdir() if path != bad}
    shard_format = Cache.open(cache).pair_records[0].shard_format
    DAMAGES[damage](cache)
    assert [finding for finding in verify(cache) if not finding.harmless]
    planned = repair(cache, dry_run=True)
    assert repair(cache) == planned
    make.make(cache, shard_format)
    assert verify(cache, deep=True) == []
    assert (cache / "MANIFEST.json").read_bytes() == manifest
    assert {path: path.stat().st_ino for path in inodes} == inodes


def test_a_sound_cache_needs_nothing(cache: Path) -> None:
    assert repair(cache) == []


def test_left_overs_are_removed_after_a_day(cache: Path) -> None:
    old, young = cache / "data/x.arrow.tmp-1", cache / "data/y.arrow.tmp-2"
    unnamed = cache / "data/pairs-000000099-0123456789ab.arrow"
    for path in (old, young, unnamed):
        path.write_bytes(b"")
    long_ago = time.time() - 25 * 3600
    os.utime(old, (long_ago, long_ago))
    assert [finding.harmless for finding in verify(cache)] == [True] * 3
    assert [(step.action, step.file) for step in repair(cache)] == [
        ("remove", "data/x.arrow.tmp-1")
    ]
    assert not old.exists()
    assert young.exists()
    assert unnamed.exists()
