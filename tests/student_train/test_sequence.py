"""A run's batches: the same for every number of processes, and from wherever it is continued."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from mixkd.shared.cache.reader import Cache
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.shared.pairs import PairTable
from mixkd.student_train.batches import Source, batches
from mixkd.student_train.order import Order
from mixkd.student_train.state import State
from tests import tiers
from tests.numpy_caches import examples, sealed
from tests.student_train.plain_order import Step, check_once_each, steps
from tests.student_train.sequence import EPOCHS, Fresh, Reader, forget, fresh
from tests.tiers import Part

WORLDS = (1, 2, 3, 4)
BATCH_SIZES = (1, 7, 64)
TRAIN, PAIRS = 70, 90  # two windows of batches of one; passes that end within an epoch


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sequence")
    return sealed(folder / "cache", pairs=PAIRS, train=TRAIN, shard_rows=32)


@pytest.fixture(scope="module")
def started(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    with fresh(root, tmp_path_factory.mktemp("states")) as process:
        yield process


@pytest.fixture(scope="module")
def whole(root: Path) -> dict[int, list[Step]]:
    """Batch size -> the uninterrupted run, by the plain version of the order."""
    return {size: plain(root, size) for size in BATCH_SIZES}


def plain(root: Path, batch_size: int) -> list[Step]:
    cache = Cache.open(root)
    lengths = cache.examples().lengths.tolist()
    columns = [cache.read(record) for record in cache.pair_records]
    sides = [
        (lengths[left], lengths[right])
        for part in columns
        for left, right in zip(part["left"], part["right"], strict=True)
    ]
    order = Reader(root, batch_size).order
    return steps(order, EPOCHS, lengths.__getitem__, lambda row: max(sides[row]))


def world_of(step: int) -> int:
    return WORLDS[step * 3 % len(WORLDS)]


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_every_number_of_processes_reads_the_same_batches(
    root: Path, started: Fresh, whole: dict[int, list[Step]], batch_size: int
) -> None:
    check_once_each(Reader(root, batch_size).order, whole[batch_size], EPOCHS)
    for world in WORLDS:
        found, _ = started.run(batch_size, world)
        assert found == whole[batch_size]


def test_stopped_at_every_step_and_continued_by_other_processes(
    started: Fresh, whole: dict[int, list[Step]]
) -> None:
    expected = whole[7]
    for stop in range(len(expected) + 1):
        before, state = started.run(7, world_of(stop), steps=stop, save=f"stop-{stop}")
        after, _ = started.run(7, world_of(stop + 1), load=state)
        assert before + after == expected


def test_stopped_twice(started: Fresh, whole: dict[int, list[Step]]) -> None:
    """At every step, and again one step, some steps and an epoch's rest later."""
    expected, an_epoch = whole[7], len(whole[7]) // EPOCHS
    for first in range(len(expected)):
        parts, state = started.run(7, 1, steps=first, save="first")
        for more in {1, 4, an_epoch - first % an_epoch}:
            second = min(first + more, len(expected))
            middle, again = started.run(7, 3, second - first, load=state, save="second")
            assert middle == expected[first:second]
            found = State.from_bytes(again.read_bytes(), again)
            assert found.epoch * an_epoch + found.step == second
        rest, _ = started.run(7, 2, load=again)
        assert parts + middle + rest == expected


def test_stopped_after_each_step(started: Fresh, whole: dict[int, list[Step]]) -> None:
    """As many resumes in a row as there are steps, over the borders of windows and epochs."""
    expected = whole[1]
    state: Path | None = None
    for step in range(len(expected)):
        found, state = started.run(1, world_of(step), steps=1, load=state, save=f"step-{step % 2}")
        assert found == [expected[step]]
    assert started.run(1, 2, load=state)[0] == []


@pytest.mark.parametrize("stop", [0, 1, 63, 64, 65, 69, 70, 71, 133, 134, 139, 140])
def test_states_are_the_same_right_after_load(
    started: Fresh, whole: dict[int, list[Step]], stop: int
) -> None:
    """Saved again before any batch was read, at both ways to stand at an epoch's end."""
    for late in (False, True):
        _, state = started.run(1, 1, steps=stop, save="state", late=late)
        nothing, again = started.run(1, 4, steps=0, load=state, save="again")
        assert nothing == [] and again.read_bytes() == state.read_bytes()
        rest, end = started.run(1, 3, load=again, save="end", late=True)
        assert rest == whole[1][stop:]
        assert State.from_bytes(end.read_bytes(), end).epoch == EPOCHS


class Stub:
    """Pairs without a cache: row k is a mix of two examples."""

    shards = ((0, 16), (16, 37))

    def rows(self, numbers: np.ndarray[Any, Any]) -> PairTable:
        sides = numbers.astype(np.uint32)
        logits = np.zeros((len(numbers), 2), np.float32)
        return PairTable(sides, (sides + 1) % 38, (numbers / 40).astype(np.float32), logits)


@pytest.fixture(scope="module")
def source() -> Source:
    rows = examples(200)
    return Source(rows, np.zeros((200, 2), np.float32), Stub(), CLASSIFICATION, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", tiers.parts(every=7), ids=str)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_all_processes_have_equally_many_batches(
    source: Source, batch_size: int, part: Part
) -> None:
    """Of every size: a process that waits for one that has finished would wait for ever."""
    for size in part.of(range(1, 201)):
        order = Order(size, Stub.shards, batch_size, 0.5, seed=size)
        for world in WORLDS[1:] if batch_size > 1 or size % 16 == 0 else (4,):
            ranks = [list(batches(source, order, 0, 0, rank, world)) for rank in range(world)]
            assert {len(rank) for rank in ranks} == {order.steps_per_epoch}
            for step in zip(*ranks, strict=True):
                assert len({tuple(batch.counts.items()) for batch in step}) == 1
                rows = [sum(batch.rows.values()) for batch in step]
                assert sum(rows) == sum(step[0].counts.values())
                assert [len(batch.targets) for batch in step] == [max(1, row) for row in rows]


class Resuming(RuleBasedStateMachine):
    """{read, save, load, reopen the cache, change the number of processes} against a list."""

    states = Bundle("states")
    root: Path
    expected: dict[int, list[Step]]

    @initialize(batch_size=st.sampled_from(BATCH_SIZES))
    def begin(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.whole = self.expected[batch_size]
        self.files = itertools.count()
        self.at, self.world = 0, 1
        self.reader = Reader(self.root, batch_size)

    @rule(steps=st.sampled_from([0, 1, 2, 3, 10, 64, 200]))
    def read(self, steps: int) -> None:
        assert self.reader.read(steps, self.world) == self.whole[self.at : self.at + steps]
        self.at = min(self.at + steps, len(self.whole))

    @rule(target=states, late=st.booleans())
    def save(self, late: bool) -> tuple[bytes, int]:
        file = self.root.parent / f"state-{next(self.files)}"
        self.reader.save(file, late)
        return file.read_bytes(), self.at

    @rule(state=states)
    def load(self, state: tuple[bytes, int]) -> None:
        file = self.root.parent / "state"
        file.write_bytes(state[0])
        self.reader.load(file)
        self.at = state[1]

    @rule()
    def reopen(self) -> None:
        """What was read so far is lost: only a state that was saved can be gone on from."""
        forget()
        self.reader = Reader(self.root, self.batch_size)
        self.at = 0

    @rule(state=states)
    def reopen_and_load(self, state: tuple[bytes, int]) -> None:
        self.reopen()
        self.load(state)

    @rule(world=st.sampled_from(WORLDS))
    def change_world(self, world: int) -> None:
        self.world = world


def test_any_sequence_of_stops(root: Path, whole: dict[int, list[Step]]) -> None:
    machine = type("Machine", (Resuming,), {"root": root, "expected": whole})
    run_state_machine_as_test(
        machine,
        settings=settings(
            derandomize=True, database=None, deadline=None, max_examples=40, stateful_step_count=25
        ),
    )
