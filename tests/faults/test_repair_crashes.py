"""A repair, and the build after it, stopped after every operation: both run again end clean."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.reader import Cache
from teacher_cache.repair import repair
from teacher_cache.verify import verify
from tests.faults.disk import LOSSES, Disk, File, recorded, write_tree
from tests.faults.reading import read_all
from tests.faults.test_crash_points import check_invariant
from tests.goldens import make

PAIRS = 40


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shard(root: Path) -> None:
    flip(root / Cache.open(root).pair_records[1].file)


def lost_shard(root: Path) -> None:
    (root / Cache.open(root).seal.records("originals")[0].file).unlink()


def record(root: Path) -> None:
    flip(root / Cache.open(root).pair_records[0].name)


def manifest(root: Path) -> None:
    flip(root / "MANIFEST.json")


def everything(root: Path) -> None:
    for damage in (shard, record, lost_shard, manifest):
        damage(root)
    flip(min((root / "seals").iterdir()))


DAMAGES = (shard, lost_shard, record, manifest, everything)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(
    "loss",
    [None, *(pytest.param(loss, marks=pytest.mark.slow) for loss in LOSSES[:2])],
    ids=["killed", "all_lost", "contents_lost"],
)
def test_stopped_after_every_operation(
    tmp_path: Path,
    damage: Callable[[Path], None],
    loss: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = make.make(tmp_path / "start", "arrow", 20)
    make.make(start, "arrow", PAIRS)
    expected = (start / "MANIFEST.json").read_bytes()
    damage(start)
    disk = Disk()
    for path in sorted(start.rglob("*")):
        content = None if path.is_dir() else path.read_bytes()
        entry = None if content is None else File(content, synced=content)
        disk.seen[str(path.relative_to(start))] = disk.kept[str(path.relative_to(start))] = entry
    with recorded(start) as log:
        repair(start)
        make.make(start, "arrow", PAIRS)
    assert log, "nothing was repaired"
    for number, operation in enumerate(log):
        disk.apply(operation)
        root = tmp_path / "cache"
        write_tree(disk.processes_see() if loss is None else disk.after_power_failure(loss), root)
        with recorded(root):  # nothing is synced: it is quicker
            repair(root)
            check_invariant(root)
            make.make(root, "arrow", PAIRS)
        assert (root / "MANIFEST.json").read_bytes() == expected, f"{number}: {operation[:2]}"
        read_all(root)
        assert [found for found in verify(root) if not found.harmless] == []
        shutil.rmtree(root)
    with capsys.disabled():
        print(f" [{len(log)} points]", end="")
