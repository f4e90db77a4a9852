"""Hostile caches are refused by name, in bounded memory, and never make a reader open the bait.

The bait is named in files of the cache; where a link of the cache leads is another matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.conftest import Tally
from tests.goldens import make as good
from tests.hostile.make import HARMLESS, HOSTILE, Hostile
from tests.hostile.opener import Open, opening
from tests.hostile.registry import MEMORY_BYTES
from tests.hostile.watch import Watch, spoiled


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good cache of each format; copy it before you spoil it."""
    folder = tmp_path_factory.mktemp("good")
    return {name: good.make(folder / name, name) for name in good.FORMATS}


@pytest.fixture(scope="module")
def open_cache(caches: dict[str, Path]) -> Iterator[Open]:
    """Reads a cache in a child of its own; see `tests/hostile/opener.py`."""
    with opening("tests.hostile.opener", caches["hdf5"]) as open_one:
        yield open_one


@pytest.mark.parametrize("shard_format", good.FORMATS)
def test_a_good_cache_is_read_within_the_limits(
    open_cache: Open, caches: dict[str, Path], shard_format: str
) -> None:
    assert open_cache(caches[shard_format], MEMORY_BYTES) == {"error": None, "text": ""}


def names(caches: dict[str, Hostile]) -> list[ParameterSet]:
    """Those that take long to make and to read are slow."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if one.memory_bytes > MEMORY_BYTES else [])
        for name, one in caches.items()
    ]


@pytest.mark.parametrize("name", names(HARMLESS))
def test_odd_but_harmless(
    open_cache: Open, caches: dict[str, Path], tmp_path: Path, name: str
) -> None:
    harmless = HARMLESS[name]
    with spoiled(caches[harmless.shard_format], harmless.spoil, tmp_path) as root:
        assert open_cache(root, harmless.memory_bytes) == {"error": None, "text": ""}


def test_no_cache_needs_more_than_a_gibibyte() -> None:
    assert max(one.memory_bytes for one in [*HOSTILE.values(), *HARMLESS.values()]) <= 2**30


@pytest.mark.parametrize("name", names(HOSTILE))
def test_refused(
    open_cache: Open, caches: dict[str, Path], tmp_path: Path, name: str, tally: Tally
) -> None:
    hostile = HOSTILE[name]
    with spoiled(caches[hostile.shard_format], hostile.spoil, tmp_path) as root:
        found = open_cache(root, hostile.memory_bytes)
    tally("hostile caches refused", int(found["error"] in hostile.errors), of=1)
    assert found["error"] in hostile.errors, found
    text = found["text"]
    assert text.isprintable(), "control characters reach the terminal"
    assert len(text) < 2000 or "a" * 500 in text
    assert not (tmp_path / "written").exists(), "a pickle was run"


def test_the_watch_sees_an_open(tmp_path: Path) -> None:
    bait = tmp_path / "bait"
    bait.write_bytes(b"bait")
    with Watch(bait) as watch:
        assert not watch.opened()
        bait.read_bytes()
        assert watch.opened()
