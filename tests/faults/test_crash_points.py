"""A builder killed, or refused by its disk, at every filesystem operation: nothing wrong is read.

After each fault every committed record has its shard, a reader gets the planned rows or an error,
and the same command gives the bytes of an uninterrupted build.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import MixkdError
from mixkd.shared.plan import pairs
from tests import tiers
from tests.conftest import Tally
from tests.faults import operations
from tests.faults.operations import CRASHED, DONE, FAILED, Operations, in_child
from tests.goldens import make
from tests.tiers import Part

pytestmark = [
    pytest.mark.timeout(600),
    # The parent has no thread of its own when it forks; the libraries' pools are never used here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]
PAIRS, MORE_PAIRS = 20, 40


def check_invariant(root: Path) -> int:
    """Records have their shards; what opens is right.

    Returns:
        How many rows were compared with the plan and the teacher.
    """
    for path in sorted((root / "commits").glob("*.json")):
        record = CacheFolder(root).record(f"commits/{path.name}")
        data = (root / record.file).read_bytes()
        assert len(data) == record.size_bytes
        assert hashlib.sha256(data).hexdigest() == record.sha256
    try:
        cache = Cache.open(root)
    except MixkdError:
        return 0
    cache.tokenizer_folder()
    for split in cache.splits:
        logits, examples = cache.logits(split), cache.examples(split)
        ids = np.arange(len(examples))
        batch = examples.originals(ids, 0)
        np.testing.assert_allclose(logits, make.score(batch), rtol=1e-6)
    cache.check_alignment()
    for record in cache.pair_records:
        columns = cache.read(record)
        planned = pairs(record.start, record.stop, examples=20, seed=0, beta=0.4)
        batch = cache.examples().mixes(planned, 0)
        np.testing.assert_allclose(columns["logits"], make.score(batch), rtol=1e-6)
    return cache.seal.rows.originals + cache.seal.rows.pairs


def every_operation(
    tmp_path: Path,
    part: Part,
    shard_format: str,
    before: int | None,
    after: int,
    act: Callable[..., object],
    allowed: set[int],
    tally: Tally,
) -> None:
    """Fault each operation of a build (or of an extension of `before` pairs) in turn."""
    start = tmp_path / "start"
    whole, counted = tmp_path / "whole", tmp_path / "counted"
    if before is not None:
        make.make(start, shard_format, before)
        shutil.copytree(start, whole)
        shutil.copytree(start, counted)
    expected = (make.make(whole, shard_format, after) / "MANIFEST.json").read_bytes()
    points = operations.count(lambda: make.make(counted, shard_format, after))
    assert points > 50
    for number in [*part.of(range(points)), points]:
        root = tmp_path / f"at-{number}"
        if before is not None:
            shutil.copytree(start, root)
        faults = Operations(number, act)
        code = in_child(lambda root=root: make.make(root, shard_format, after), faults)
        if number == points:
            assert code == 100 + DONE, "there are more operations than were counted"
            return
        assert code in allowed, f"operation {number}: exit {code}"
        assert code != CRASHED
        rows = check_invariant(root)
        make.make(root, shard_format, after)
        assert (root / "MANIFEST.json").read_bytes() == expected, f"operation {number}"
        tally("rows checked", rows + check_invariant(root))
        tally("crash points exercised" if allowed == {-9} else "disk failures survived", 1)
        shutil.rmtree(root)


@pytest.mark.parametrize("part", tiers.parts(every=6, workers=2), ids=str)
@pytest.mark.parametrize("shard_format", make.FORMATS)
@pytest.mark.parametrize("before", [None, PAIRS], ids=["build", "extension"])
def test_killed_at_every_operation(
    tmp_path: Path, part: Part, shard_format: str, before: int | None, tally: Tally
) -> None:
    after = PAIRS if before is None else MORE_PAIRS
    every_operation(tmp_path, part, shard_format, before, after, operations.kill, {-9}, tally)


@pytest.mark.parametrize("part", tiers.parts(every=8, workers=2), ids=str)
@pytest.mark.parametrize("act", [operations.NO_SPACE, operations.IO_ERROR], ids=["full", "failing"])
def test_refused_by_the_disk_at_every_operation(
    tmp_path: Path, part: Part, act: Callable[..., object], tally: Tally
) -> None:
    every_operation(tmp_path, part, "arrow", None, PAIRS, act, {DONE, FAILED}, tally)


def test_a_refused_write_leaves_no_temporary(tmp_path: Path) -> None:
    for number in range(40):
        root = tmp_path / f"at-{number}"
        faults = Operations(number, operations.NO_SPACE)
        code = in_child(lambda root=root: make.make(root, "arrow", PAIRS), faults)
        assert code in (DONE, FAILED)
        assert not [path for path in root.rglob("*") if ".tmp-" in path.name]


@pytest.mark.parametrize("part", tiers.parts(every=8, workers=2), ids=str)
def test_short_writes_are_finished(tmp_path: Path, part: Part, tally: Tally) -> None:
    every_operation(tmp_path, part, "arrow", None, PAIRS, operations.shorten, {DONE}, tally)
