"""Single bits flipped at random: the default reader, or `verify`, refuses every one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import MixkdError
from tests.conftest import Tally
from tests.faults.reading import files_read, read_all
from tests.goldens import make


def flipped(paths: list[Path], count: int, refused: Callable[[Path], bool]) -> list[str]:
    """Flip one bit after the other, bits of all files alike; those that were not refused."""
    ends = np.cumsum([path.stat().st_size for path in paths])
    accepted = []
    for bit in np.random.default_rng(0).integers(8 * ends[-1], size=count):
        number = int(np.searchsorted(ends, bit // 8, side="right"))
        path = paths[number]
        good = path.read_bytes()
        bad = bytearray(good)
        place = bit // 8 - (ends[number] - len(good))
        bad[place] ^= 1 << (bit % 8)
        path.write_bytes(bad)
        if not refused(path):
            accepted.append(f"{path} byte {place} bit {bit % 8}")
        path.write_bytes(good)
    return accepted


def refused_by_reader(root: Path) -> bool:
    try:
        read_all(root)
    except MixkdError:
        return True
    return False


@pytest.mark.parametrize("shard_format", make.FORMATS)
@pytest.mark.parametrize(
    "count",
    [200, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
def test_the_reader_refuses_every_flipped_bit(
    tmp_path: Path, shard_format: str, count: int, tally: Tally
) -> None:
    root = make.make(tmp_path / "cache", shard_format)
    paths = files_read(root)
    accepted = flipped(paths, count, lambda path: refused_by_reader(root))
    tally("bit flips refused", count - len(accepted), of=count)
    assert accepted == []
    read_all(root)


def test_verify_names_flips_in_records_and_old_seals(tmp_path: Path, tally: Tally) -> None:
    """No reader opens these: a resumed student opens an old seal, and a builder the records."""
    root = make.make(tmp_path / "cache", "arrow", 20)
    make.make(root, "arrow", 40)
    paths = [*sorted((root / "commits").iterdir()), *sorted((root / "seals").iterdir())]
    assert len(paths) == 8

    def refused(path: Path) -> bool:
        messages = [found.message for found in verify_cache(root) if not found.harmless]
        return any(message.startswith(str(path)) for message in messages)

    accepted = flipped(paths, 60, refused)
    tally("bit flips refused", 60 - len(accepted), of=60)
    assert accepted == []
    assert [found for found in verify_cache(root) if not found.harmless] == []
