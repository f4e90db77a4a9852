"""Builders of one cache share its shards: counted in batches and rows, on a clock of turns."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixkd.shared.cache.codecs.base import Columns, KindName
from mixkd.shared.cache.records import Made
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.mixup import MixBatch
from mixkd.teacher_cache import build as build_module
from mixkd.teacher_cache.build import Built
from mixkd.teacher_cache.walk import Place
from tests import tiers
from tests.caches import build, seal
from tests.conftest import Tally
from tests.numpy_caches import SHARD_ROWS, Logits, accept, job, score, sealed

WAIT_S = 60


class Turns:
    """Lets builders go on one batch each, in turn: equally fast ones, and the same every time."""

    def __init__(self, builders: int) -> None:
        self.batches = [0] * builders
        self._running = list(range(builders))
        self._turn = 0
        self._changed = threading.Condition()

    def wait(self, builder: int) -> None:
        """Hand the turn to the next one, and wait until it is this one's again."""
        with self._changed:
            self.batches[builder] += 1
            self._turn = self._running[(self._running.index(builder) + 1) % len(self._running)]
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._turn == builder, WAIT_S)

    def begin(self, builder: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._turn == builder, WAIT_S)

    def end(self, builder: int) -> None:
        with self._changed:
            following = self._running[(self._running.index(builder) + 1) % len(self._running)]
            self._running.remove(builder)
            self._turn = following
            self._changed.notify_all()


class PromptCommitter:
    """Commits a shard when it is put: the thread of the actual one would be a second clock."""

    def __init__(self, writer: CacheWriter, made: Made) -> None:
        self.rows = self.rows_lost = 0
        self._writer, self._made = writer, made

    def __enter__(self) -> PromptCommitter:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def put(self, kind: KindName, rows: tuple[int, int], columns: Columns) -> None:
        if self._writer.commit(kind, rows, columns, self._made):
            self.rows += rows[1] - rows[0]
        else:
            self.rows_lost += rows[1] - rows[0]

    def wait(self) -> None:
        pass


def together(root: Path, pairs: int, builders: int, placed: bool) -> tuple[int, list[Built]]:
    """Let builders extend a cache; the batches of the one that took longest, and what all did."""
    turns = Turns(builders)
    done: dict[int, Built] = {}
    this = threading.local()
    seeded = np.random.default_rng

    def run(own: int) -> None:
        this.place = Place(own, builders)
        turns.begin(own)

        def slow(batch: MixBatch) -> Logits:
            turns.wait(own)
            return score(batch)

        try:
            done[own] = build(job(root, pairs), slow, accept)
        finally:
            turns.end(own)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(build_module, "Committer", PromptCommitter)
        patch.setattr(Place, "of", lambda environment: this.place if placed else Place())
        patch.setattr(np.random, "default_rng", lambda: seeded(this.place.rank))
        threads = [threading.Thread(target=run, args=(own,)) for own in range(builders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return max(turns.batches), [done[own] for own in range(builders)]


@pytest.mark.parametrize("placed", [False, True], ids=["alone_as_they_think", "placed"])
@pytest.mark.parametrize("shards", [8, 13, tiers.slow(52)])
@pytest.mark.parametrize(("builders", "part"), [(2, 0.7), (4, 0.45)])
def test_several_take_a_part_of_the_time(
    tmp_path: Path, builders: int, part: float, shards: int, placed: bool, tally: Tally
) -> None:
    """Of one builder's batches; and few rows are computed twice."""
    pairs = SHARD_ROWS * (1 + shards)
    times = []
    for number in (1, builders):
        root = sealed(tmp_path / f"of-{number}", pairs=SHARD_ROWS)
        time, done = together(root, pairs, number, placed)
        times.append(time)
        assert sum(built.rows for built in done) == SHARD_ROWS * shards
        assert seal(root).rows.pairs == pairs
    assert times[1] <= part * times[0]
    twice = sum(built.rows_lost for built in done)
    assert twice <= SHARD_ROWS * builders * (1 if placed else 2)
    tally("rows computed twice by builders", twice, of=SHARD_ROWS * shards)
    assert verify_cache(root, deep=True) == []


def test_a_place_that_makes_no_sense_is_none() -> None:
    def place(rank: str, builders: str) -> Place:
        return Place.of({"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": builders})

    assert place("1", "4") == Place(1, 4)
    for rank, builders in (("", ""), ("4", "4"), ("-1", "4"), ("a", "4"), ("0", "0"), ("1", "")):
        assert place(rank, builders) == Place(0, 1)
    assert Place.of({"LOCAL_RANK": "1"}) == Place(0, 1)


@pytest.mark.parametrize("builders", [2, 3])
def test_a_placed_builder_takes_every_nth_shard_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builders: int
) -> None:
    """What several have done by a time limit is then a prefix; the others' shards come last."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(builders))
    root = sealed(tmp_path / "cache", pairs=SHARD_ROWS)
    order: list[int] = []
    real = CacheWriter.commit

    def commit(self: CacheWriter, kind: KindName, rows: tuple[int, int], *more: Any) -> bool:
        order.append(rows[0] // SHARD_ROWS)
        return real(self, kind, rows, *more)

    monkeypatch.setattr(CacheWriter, "commit", commit)
    build(job(root, 7 * SHARD_ROWS), score, accept)
    first = 3  # shards of originals
    own = [shard for shard in range(1, 7) if (shard + first) % builders == 1]
    assert order == own + [shard for shard in range(1, 7) if shard not in own]


def test_a_lone_builder_walks_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    seen: list[tuple[str, int]] = []
    real = CacheWriter.commit

    def commit(self: CacheWriter, kind: KindName, rows: tuple[int, int], *more: Any) -> bool:
        seen.append((kind, rows[0]))
        return real(self, kind, rows, *more)

    monkeypatch.setattr(CacheWriter, "commit", commit)
    build(job(tmp_path / "cache", 80), score, accept)
    assert [row for kind, row in seen if kind == "pairs"] == [0, 16, 32, 48, 64]
    assert [kind for kind, _ in seen] == ["originals"] * 3 + ["pairs"] * 5
