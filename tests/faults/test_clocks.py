"""A builder that stands still, or whose clock jumps, while a repair removes what looks old.

At one filesystem operation of an extension the clock is two days ahead and a repair runs, alone or
after another builder. Then the builder goes on: what it commits is right.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared import publish
from mixkd.shared.cache import sealing
from mixkd.shared.cache.discard import discard_shard
from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import MixkdError
from tests import caches, tiers
from tests.conftest import Tally
from tests.faults import operations
from tests.faults.operations import DONE, FAILED, Act, Operations, in_child
from tests.faults.test_crash_points import check_invariant
from tests.goldens import make
from tests.tiers import Part

PAIRS, MORE_PAIRS = 20, 40
DAYS_S = 2 * 24 * 3600

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def repair_with_a_clock(root: Path, ahead_s: float) -> None:
    real = time.time
    time.time = lambda: real() + ahead_s
    try:
        repair_cache(root)
    finally:
        time.time = real


def meanwhile(root: Path, builds: bool) -> Act:
    def act(name: str, real: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        if builds:
            make.make(root, "arrow", MORE_PAIRS)
        repair_with_a_clock(root, DAYS_S)
        return real()

    return act


@pytest.mark.parametrize(
    "part",
    [tiers.sample(Part(0, 12, is_sample=True)), tiers.slow(Part(1, 3, is_sample=False))],
    ids=str,
)
@pytest.mark.parametrize("builds", [False, True], ids=["alone", "after_another_build"])
def test_a_repair_at_many_operations_of_a_builder(
    tmp_path: Path, part: Part, builds: bool, tally: Tally
) -> None:
    start = make.make(tmp_path / "start", "arrow", PAIRS)
    whole = Path(shutil.copytree(start, tmp_path / "whole"))
    expected = (make.make(whole, "arrow", MORE_PAIRS) / "MANIFEST.json").read_bytes()
    counted = Path(shutil.copytree(start, tmp_path / "counted"))
    points = operations.count(lambda: make.make(counted, "arrow", MORE_PAIRS))
    for number in part.of(range(points)):
        root = Path(shutil.copytree(start, tmp_path / f"at-{number}"))
        faults = Operations(number, meanwhile(root, builds))
        code = in_child(lambda root=root: make.make(root, "arrow", MORE_PAIRS), faults)
        assert code in (DONE, FAILED), f"operation {number}: exit {code}"
        check_invariant(root)
        assert code == FAILED or (root / "MANIFEST.json").read_bytes() == expected, number
        make.make(root, "arrow", MORE_PAIRS)
        assert (root / "MANIFEST.json").read_bytes() == expected, f"operation {number}"
        assert [found for found in verify_cache(root) if not found.harmless] == []
        tally("rows checked", check_invariant(root))
        shutil.rmtree(root)


def test_a_shard_that_a_repair_took_before_its_record_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make.make(tmp_path / "cache", "arrow", PAIRS)
    real, taken = publish.Root.create, []

    def slow(self: publish.Root, name: str, data: bytes) -> bytes | None:
        if name.startswith("commits/"):
            before = set((root / "data").iterdir())
            repair_with_a_clock(root, DAYS_S)
            taken.extend(before - set((root / "data").iterdir()))
        return real(self, name, data)

    monkeypatch.setattr(publish.Root, "create", slow)
    make.make(root, "arrow", MORE_PAIRS)
    assert taken
    assert all(path.exists() for path in taken)
    assert verify_cache(root) == []


def test_with_a_clock_that_is_behind_nothing_is_old(tmp_path: Path) -> None:
    root = make.make(tmp_path / "cache", "arrow", PAIRS)
    for name in ("x.json.tmp-0123456789abcdef", "data/pairs-000000099-0123456789ab.arrow"):
        (root / name).touch()
    repair_with_a_clock(root, -DAYS_S)
    assert (root / "x.json.tmp-0123456789abcdef").exists()
    assert (root / "data/pairs-000000099-0123456789ab.arrow").exists()


def test_a_builder_whose_seal_lists_what_a_repair_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still between its look at the records and its seal."""
    made = make.job(tmp_path / "cache", "arrow", PAIRS)
    root = made.root
    caches.build(made, make.score, caches.accept)
    writer = CacheWriter.open(root)
    real = sealing.make

    def slow(*arguments: Any) -> Any:
        seal = real(*arguments)
        (damaged,) = root.glob("data/pairs-000000016-*")
        damaged.write_bytes(damaged.read_bytes()[:-1])
        repair_cache(root)
        return seal

    monkeypatch.setattr(sealing, "make", slow)
    with pytest.raises(MixkdError, match="data/pairs-000000016-.* found no file; run: cache-"):
        writer.seal()
    assert list((root / "seals").iterdir()) == []
    monkeypatch.undo()
    make.make(root, "arrow", PAIRS)
    assert [found for found in verify_cache(root) if not found.harmless] == []


def test_a_repair_finds_a_seal_that_a_builder_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder looked at its shards a moment before the repair put one of them aside."""
    made = make.job(tmp_path / "cache", "arrow", PAIRS)
    root = made.root
    caches.build(made, make.score, caches.accept)
    whole = make.make(tmp_path / "whole", "arrow", PAIRS)
    (damaged,) = root.glob("data/pairs-000000016-*")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    real = publish.Root.move

    def sealed_before(self: publish.Root, name: str, target: str) -> None:
        if not (root / "seals").exists():
            shutil.copytree(whole / "seals", root / "seals")
            shutil.copy(whole / "MANIFEST.json", root)
        real(self, name, target)

    monkeypatch.setattr(publish.Root, "move", sealed_before)
    repair_cache(root)
    assert list((root / "seals").iterdir()) == []
    assert not (root / "MANIFEST.json").exists()
    make.make(root, "arrow", PAIRS)
    assert [found for found in verify_cache(root) if not found.harmless] == []


@pytest.mark.parametrize("record", ["names it", "names another", "none", "unreadable"])
def test_a_shard_is_discarded_only_if_no_record_names_it(tmp_path: Path, record: str) -> None:
    root = make.make(tmp_path / "cache", "arrow", PAIRS)
    writer = CacheWriter.open(root)
    (shard,) = (r.file for r in writer.records("pairs") if r.start == 0)
    path = root / "commits/pairs-000000000.json"
    if record == "names another":
        other = shard.replace(shard[-18:-6], "0" * 12)
        shutil.copy(root / shard, root / other)
        shard = other
    elif record == "none":
        path.unlink()
    elif record == "unreadable":
        path.write_bytes(b"{")
    discard_shard(writer.folder, shard)
    discard_shard(writer.folder, "data/pairs-000000000-ffffffffffff.arrow")  # gone already
    assert (root / shard).exists() == (record in ("names it", "unreadable"))
    assert not list((root / "data").glob("*.tmp-*"))
