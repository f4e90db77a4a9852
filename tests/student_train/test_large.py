"""A hundred million pairs open in about a second, and are streamed in the memory of a million."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench import synthetic
from tests.conftest import Tally

ROOT = Path(__file__).resolve().parents[2]
SMALL, LARGE = 1_000_000, 100_000_000
OPEN_S = 5  # about one on a quiet machine
SPREAD_MIB = 16
RECORD_KIB = 2  # of the seal in memory, for each shard


def streamed(root: Path) -> dict[str, float]:
    """One pass in a process of its own; every row compared."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench.streaming", str(root)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_memory_does_not_depend_on_length(tmp_path: Path, tally: Tally) -> None:
    small = streamed(synthetic.build(tmp_path / "small", SMALL))
    large = streamed(synthetic.build(tmp_path / "large", LARGE))
    for found in (small, large):
        assert found["wrong"] == 0
        tally("rows checked", int(found["pairs"]))
    assert large["open_s"] < OPEN_S
    streaming = [found["most_mib"] - found["opened_mib"] for found in (small, large)]
    assert streaming[1] < streaming[0] + SPREAD_MIB
    assert large["opened_mib"] - large["before_mib"] < large["shards"] * RECORD_KIB / 1024
