"""Several builders on one cache: each row is committed once, none is lost, the longest seal stays.

There are no locks: builders look for records, and a record is created exclusively.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import OutputError
from mixkd.shared.publish import is_temporary
from tests import tiers
from tests.caches import build
from tests.conftest import Tally
from tests.faults.reading import read_all
from tests.goldens import make
from tests.tiers import Part

CHECKOUT = Path(__file__).resolve().parents[2]
BUILDERS = 8


def together(root: Path, shard_format: str, pairs: list[int], kills: int = 0) -> list[list[int]]:
    command = [sys.executable, "-m", "tests.faults.builders", str(root), shard_format, str(kills)]
    done = subprocess.run(
        [*command, *map(str, pairs)],
        cwd=CHECKOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=550,
    )
    found: list[list[int]] = json.loads(done.stdout)
    return found


def check_rows(root: Path, pairs: int, temporaries: bool = False) -> None:
    """Every row exactly once, and nothing else but the temporaries of killed builders."""
    cache = read_all(root)
    for kind, rows in (("originals", 28), ("pairs", pairs)):
        found = CacheWriter.open(root).records(kind)
        assert [record.start for record in found] == [0, *(r.stop for r in found[:-1])]
        assert found[-1].stop == rows
        assert cache.seal.records(kind) == tuple(found)
    assert [finding for finding in verify_cache(root, deep=True) if not finding.harmless] == []
    names = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    left = {name for name in names if is_temporary(name)}
    assert temporaries or not left
    shards = {name for name in names - left if name.startswith("data/")}
    assert shards == {record.file for record in cache.seal.shards}


@pytest.mark.parametrize(
    ("shard_format", "pairs"),
    [
        tiers.sample("arrow", 160),
        ("hdf5", 160),
        tiers.slow("arrow", 480),
        tiers.slow("arrow", 16_000),
    ],
)
def test_eight_at_once(tmp_path: Path, shard_format: str, pairs: int, tally: Tally) -> None:
    root = tmp_path / "cache"
    found = together(root, shard_format, [pairs] * BUILDERS)
    assert [status for status, _, _ in found] == [0] * BUILDERS
    check_rows(root, pairs)
    alone = make.make(tmp_path / "alone", shard_format, pairs)
    assert (root / "MANIFEST.json").read_bytes() == (alone / "MANIFEST.json").read_bytes()
    needed = pairs + 28
    assert sum(rows for _, rows, _ in found) == needed
    tally("rows computed twice by builders", sum(lost for _, _, lost in found), of=needed)
    tally("rows checked", needed)


def test_killed_and_started_again_among_others(tmp_path: Path, tally: Tally) -> None:
    """What the others and the dead have committed is kept; no row is missing, doubled or padded."""
    root = tmp_path / "cache"
    kills = 12
    found = together(root, "arrow", [1000] * 4, kills)
    assert {status for status, _, _ in found} == {0}
    survived = 4 + kills - len(found)
    assert survived >= kills // 2, "most ended before they were killed"
    check_rows(root, 1000, temporaries=True)
    tally("rows checked", 1000)
    alone = make.make(tmp_path / "alone", "arrow", 1000)
    assert (root / "MANIFEST.json").read_bytes() == (alone / "MANIFEST.json").read_bytes()


def test_different_lengths_at_once(tmp_path: Path) -> None:
    wanted = [300, 100, 260, 17, 90, 299, 16, 1]
    found = together(tmp_path / "cache", "arrow", wanted)
    assert [status for status, _, _ in found] == [0] * len(wanted)
    check_rows(tmp_path / "cache", 300)


class Interloper:
    """Runs `work` just before operation number `at` that changes a file system."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, at: int, work: Callable[[], object]
    ) -> None:
        self.count = 0
        self.ran = False
        self._at, self._work = at, work
        for name in ("open", "write", "replace", "link", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if not self.ran:
                self.count += 1
                if self.count > self._at:
                    self.ran = True
                    self._work()
            return real(*arguments, **more)

        return call


@pytest.mark.parametrize("part", tiers.parts(every=5), ids=str)
@pytest.mark.parametrize("others", [40, 8], ids=["a_longer_one", "a_shorter_one"])
def test_another_build_and_seal_between_any_two_operations(
    tmp_path: Path, part: Part, others: int
) -> None:
    """Two extensions that end in the wrong order: the longer seal stays, whoever comes last."""
    start = make.make(tmp_path / "start", "arrow", 4)
    for at in part.endless():
        root = Path(shutil.copytree(start, tmp_path / "cache"))
        with pytest.MonkeyPatch.context() as patch:
            other = Interloper(patch, at, lambda root=root: make.make(root, "arrow", others))
            make.make(root, "arrow", 20)
        if not other.ran:
            assert at > 40
            return
        assert Cache.open(root).seal.length[0] == max(others, 20), f"operation {at}"
        check_rows(root, max(others, 20))
        shutil.rmtree(root)


@pytest.mark.parametrize("part", tiers.parts(every=5), ids=str)
def test_another_whole_build_between_any_two_operations(tmp_path: Path, part: Part) -> None:
    """Of a cache that does not exist yet: the loser's work is dropped, nothing is overwritten."""
    alone = (make.make(tmp_path / "alone", "arrow", 20) / "MANIFEST.json").read_bytes()
    for at in (2 * number for number in part.endless()):
        root = tmp_path / "cache"
        with pytest.MonkeyPatch.context() as patch:
            other = Interloper(patch, at, lambda root=root: make.make(root, "arrow", 20))
            make.make(root, "arrow", 20)
        if not other.ran:
            assert at > 100
            return
        assert (root / "MANIFEST.json").read_bytes() == alone, f"operation {at}"
        check_rows(root, 20)
        shutil.rmtree(root)


def test_a_builder_of_another_identity_is_refused(tmp_path: Path) -> None:
    """At the last moment: both found an empty folder, and this one comes second."""
    root = make.make(tmp_path / "cache", "arrow", 20)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    (root / "cache.json").rename(tmp_path / "aside")

    def accept(logits: object) -> None:
        (tmp_path / "aside").rename(root / "cache.json")

    other = make.job(root, "arrow", 20, seed=1)
    with pytest.raises(OutputError, match="different settings"):
        build(other, make.score, accept)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
