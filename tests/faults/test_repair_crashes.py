"""A repair stopped at every filesystem operation: what was there is there, and both commands run
again end clean.

Killed in a child, and replayed on a disk in memory: the replay includes the build after the repair,
and can lose what was not synced.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import MixkdError
from tests import tiers
from tests.conftest import Tally
from tests.faults.disk import LOSSES, Disk, File, recorded, write_tree
from tests.faults.operations import DONE, Operations, count, in_child, kill
from tests.faults.reading import read_all
from tests.faults.test_crash_points import check_invariant
from tests.goldens import make
from tests.tiers import Part

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


def named(parameter: object) -> str:
    """The name of a parameter in a test's; no loss is a killed process."""
    name = getattr(parameter, "__name__", None) or str(parameter or "killed")
    return name.replace(" ", "_").replace(",", "")


DAMAGES = (shard, lost_shard, record, manifest, everything)


def damaged(root: Path, shard_format: str, damage: Callable[[Path], None]) -> tuple[Path, bytes]:
    """A cache of two seals, damaged, and the MANIFEST.json that it should have."""
    make.make(root, shard_format, 20)
    make.make(root, shard_format, PAIRS)
    expected = (root / "MANIFEST.json").read_bytes()
    damage(root)
    return root, expected


def check_mended(root: Path, shard_format: str, expected: bytes) -> int:
    """Repair and build again; how many rows were then compared with the plan."""
    repair_cache(root)
    check_invariant(root)
    make.make(root, shard_format, PAIRS)
    assert (root / "MANIFEST.json").read_bytes() == expected
    assert [found for found in verify_cache(root) if not found.harmless] == []
    return check_invariant(root)


def contents(root: Path) -> set[bytes]:
    return {path.read_bytes() for path in root.rglob("*") if path.is_file()}


def shards_of(root: Path) -> set[str]:
    return {path.name for path in (root / "data").iterdir()}


def seals(root: Path) -> list[str]:
    """The text of each; a flipped bit may have made it none."""
    paths = [*root.glob("MANIFEST.json"), *root.glob("seals/*.json")]
    return [path.read_text(errors="replace") for path in paths]


KILLED = [
    *(tiers.sample(everything, name, Part(0, 6, is_sample=True)) for name in make.FORMATS),
    *(
        tiers.slow(damage, name, Part(0, 1, is_sample=False))
        for damage in DAMAGES
        for name in make.FORMATS
    ),
]


@pytest.mark.parametrize(("damage", "shard_format", "part"), KILLED, ids=named)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_killed_at_every_operation(
    tmp_path: Path,
    damage: Callable[[Path], None],
    shard_format: str,
    part: Part,
    tally: Tally,
) -> None:
    start, expected = damaged(tmp_path / "start", shard_format, damage)
    there, shards = contents(start), shards_of(start)
    counted = Path(shutil.copytree(start, tmp_path / "counted"))
    points = count(partial(repair_cache, counted))
    assert points >= 5
    for number in [*part.of(range(points)), points]:
        root = Path(shutil.copytree(start, tmp_path / "cache"))
        code = in_child(partial(repair_cache, root), Operations(number, kill))
        assert there <= contents(root), f"operation {number}: something was lost"
        assert code == (-9 if number < points else 100 + DONE)
        moved = shards - shards_of(root)
        assert not [seal for seal in seals(root) if any(name in seal for name in moved)]
        with suppress(MixkdError):
            read_all(root)
        tally("rows checked", check_mended(root, shard_format, expected))
        shutil.rmtree(root)
        tally("crash points exercised", int(number < points))


STOPPED = [
    tiers.sample(None, Part(0, 4, is_sample=True)),
    *(tiers.slow(loss, Part(0, 1, is_sample=False)) for loss in (None, *LOSSES[:2])),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=named)
@pytest.mark.parametrize(("loss", "part"), STOPPED, ids=named)
def test_stopped_after_every_operation(
    tmp_path: Path,
    damage: Callable[[Path], None],
    loss: str | None,
    part: Part,
    tally: Tally,
) -> None:
    start, expected = damaged(tmp_path / "start", "arrow", damage)
    disk = Disk()
    for path in sorted(start.rglob("*")):
        content = None if path.is_dir() else path.read_bytes()
        entry = None if content is None else File(content, synced=content)
        disk.seen[str(path.relative_to(start))] = disk.kept[str(path.relative_to(start))] = entry
    with recorded(start) as log:
        repair_cache(start)
        make.make(start, "arrow", PAIRS)
    assert log, "nothing was repaired"
    chosen = part.of(range(len(log)))
    for number, operation in enumerate(log):
        disk.apply(operation)
        if number not in chosen:
            continue
        root = tmp_path / "cache"
        write_tree(disk.processes_see() if loss is None else disk.after_power_failure(loss), root)
        with recorded(root):  # nothing is synced: it is quicker
            tally("rows checked", check_mended(root, "arrow", expected))
        tally("lost-write prefixes", int(loss is not None))
        shutil.rmtree(root)
