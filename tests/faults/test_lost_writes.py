"""The power fails after every operation of a build: what was committed is there, whole.

Played on a disk in memory (`tests/faults/disk.py`) from the operations of a real build.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import tiers
from tests.conftest import Tally
from tests.faults.disk import LOSSES, Disk, Operation, Tree, recorded, write_tree
from tests.faults.reading import read_all
from tests.faults.test_crash_points import check_invariant
from tests.goldens import make
from tests.tiers import Part

PAIRS, MORE_PAIRS = 20, 40

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=make.FORMATS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> list[Operation]:
    """A build, a seal, an extension and a second seal; the folder itself is there already."""
    root = tmp_path / "whole"
    root.mkdir()
    with recorded(root) as operations:
        make.make(root, request.param, PAIRS)
        make.make(root, request.param, MORE_PAIRS)
    return operations


def shard_format(log: list[Operation]) -> str:
    return "hdf5" if any(str(o[-1]).endswith(".h5") for o in log) else "arrow"


def resumed(root: Path, log: list[Operation]) -> list[Operation]:
    """The operations of the same two commands on what was left."""
    with recorded(root) as operations:
        make.make(root, shard_format(log), PAIRS)
        make.make(root, shard_format(log), MORE_PAIRS)
    return operations


@pytest.mark.parametrize("part", tiers.parts(every=20), ids=str)
def test_power_fails_after_every_operation(
    log: list[Operation], part: Part, tmp_path: Path, tally: Tally
) -> None:
    expected = (tmp_path / "whole" / "MANIFEST.json").read_bytes()
    disk = Disk()
    seen: set[frozenset[tuple[str, bytes | None]]] = set()
    chosen = part.of(range(len(log)))
    for number, operation in enumerate(log):
        disk.apply(operation)
        for loss in LOSSES if number in chosen else ():
            tree = disk.after_power_failure(loss)
            state = frozenset(without_marks(tree).items())
            if state in seen:
                continue
            seen.add(state)
            root = tmp_path / "left"
            write_tree(tree, root)
            rows = check_invariant(root)
            resumed(root, log)
            assert (root / "MANIFEST.json").read_bytes() == expected, f"{number}, {loss}"
            tally("rows checked", rows + check_invariant(root))
            shutil.rmtree(root)
        tally("lost-write prefixes", int(number in chosen))
    assert part.is_sample or len(seen) > 100


def without_marks(tree: Tree) -> Tree:
    """Temporary files by content alone: their random names make no other state."""
    return {name.split(".tmp-")[0] + "?" * (".tmp-" in name): data for name, data in tree.items()}


@pytest.mark.parametrize("part", tiers.parts(every=6), ids=str)
def test_what_a_resumed_build_found_is_kept_as_well(
    log: list[Operation], part: Part, tmp_path: Path, tally: Tally
) -> None:
    """Killed, resumed to the end, and only then does the power fail.

    What the killed process published but did not sync must be synced by the one that builds on it.
    """
    lost = {}
    for number in part.of(range(len(log))):
        disk = Disk()
        for operation in log[: number + 1]:
            disk.apply(operation)
        root = tmp_path / "left"
        write_tree(disk.processes_see(), root)
        for operation in resumed(root, log):
            disk.apply(operation)
        tree = disk.after_power_failure(LOSSES[0])
        shutil.rmtree(root)
        write_tree(tree, root)
        try:
            read_all(root)
        except Exception as error:
            lost[f"{number}: {log[number][:2]}"] = str(error)
        shutil.rmtree(root)
        tally("lost-write prefixes", 1)
    assert lost == {}
