"""The real command with a real small teacher, killed at random moments of its life.

What the exhaustive kills leave out is here: torch, the committer's thread beside the teacher, the
interpreter's start and end. Every record that a kill leaves is the one of an uninterrupted build.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import MixkdError
from tests.conftest import Tally
from tests.faults.reading import read_all

ROOT = Path(__file__).resolve().parents[2]
LANES, KILLS = 2, 25
PAIRS, SHARD_ROWS = 6000, 64
OUT = "shards/tiny"


class Builder:
    """`cache-teacher` in a process group of its own."""

    def __init__(self, folder: Path, teacher: Path, data: Path) -> None:
        words = ["--task", "tiny", "--data", str(data), "--teacher", str(teacher)]
        more = ["--pairs", str(PAIRS), "--shard-rows", str(SHARD_ROWS), "--dtype", "float32"]
        folder.mkdir(exist_ok=True)
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mixkd.teacher_cache.cli", *words, *more],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self.began = time.monotonic()

    def wait_until(self, reached: Callable[[float], bool]) -> None:
        """Wait until `reached` of its age in seconds, or until it has ended."""
        while self.process.poll() is None and not reached(time.monotonic() - self.began):
            time.sleep(0.001)

    def kill(self) -> bool:
        """Kill the whole group; whether it was still alive."""
        if self.process.poll() is not None:
            return False
        os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait(timeout=60) == -signal.SIGKILL

    def finish(self) -> float:
        """Let it end; how many seconds it lived."""
        assert self.process.wait(timeout=300) == 0, self.log.read_text()
        return time.monotonic() - self.began


def published(root: Path) -> int:
    """Names in a cache, finished or temporary."""
    return sum(1 for _ in root.rglob("*"))


def check_same_records(root: Path, whole: Path) -> int:
    """What is committed is what an uninterrupted build commits; rows of the shards compared."""
    rows = 0
    records = {record.name: record for record in Cache.open(whole).seal.shards}
    for path in sorted((root / "commits").glob("*.json")):
        record = records[f"commits/{path.name}"]
        assert path.read_bytes() == record.to_bytes()
        assert (root / record.file).read_bytes() == (whole / record.file).read_bytes()
        rows += record.stop - record.start
    try:
        read_all(root)
    except MixkdError:
        return rows
    assert (root / "MANIFEST.json").read_bytes() == (whole / "MANIFEST.json").read_bytes()
    return rows


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("lane", range(LANES))
def test_killed_at_random(
    tmp_path: Path, good_teacher: Path, data: Path, lane: int, tally: Tally
) -> None:
    """Each lane has random moments of its own."""
    whole = tmp_path / "whole"
    life_s = Builder(whole, good_teacher, data).finish()
    tally("rows checked", killed(tmp_path / "killed", whole, life_s, lane, good_teacher, data))
    tally("random kills survived", KILLS)


def killed(folder: Path, whole: Path, life_s: float, seed: int, teacher: Path, data: Path) -> int:
    """Kill the command that builds in `folder` until it was killed often enough, then let it end.

    Returns:
        How many rows were compared with those of the uninterrupted build.
    """
    choose = random.Random(seed)
    root = folder / OUT
    kills = rows = 0
    while kills < KILLS:
        builder = Builder(folder, teacher, data)
        if choose.random() < 0.3:
            moment_s = choose.uniform(0, life_s)
            builder.wait_until(lambda age_s, at=moment_s: age_s > at)
        else:
            # Most of a short life is the interpreter's start: these fall into the build itself.
            goal = published(root) + choose.randrange(1, 60)
            builder.wait_until(lambda age_s, at=goal: published(root) >= at)
        if builder.kill():
            kills += 1
            rows += check_same_records(root, whole / OUT)
            continue
        assert builder.process.returncode == 0, builder.log.read_text()
        assert check_same_records(root, whole / OUT) == Cache.open(root).seal.rows.pairs + 72
        shutil.rmtree(folder)
    Builder(folder, teacher, data).finish()
    assert (root / "MANIFEST.json").read_bytes() == (whole / OUT / "MANIFEST.json").read_bytes()
    assert [found for found in verify_cache(root, deep=True) if not found.harmless] == []
    return rows
