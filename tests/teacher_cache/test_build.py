"""The build loop: what is stored is what was planned, also when stopped, extended or raced."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixkd.shared import publish
from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DiskError, LogitsError, MixkdError
from mixkd.shared.mixup import MixBatch
from mixkd.teacher_cache import build as build_module
from mixkd.teacher_cache.scoring import batches_by_length
from tests.caches import build, committed, missing_rows, seal
from tests.numpy_caches import (
    FORMATS,
    SHARD_ROWS,
    Logits,
    Scorer,
    accept,
    contents,
    examples,
    expected_logits,
    job,
    pair_table,
    planned,
    score,
    sealed,
)

ORIGINALS = 42


@pytest.mark.parametrize("shard_format", FORMATS)
@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_logits_are_those_of_the_planned_rows(
    tmp_path: Path, shard_format: str, batch_tokens: int
) -> None:
    """Whatever the batches: rows come back to their places."""
    made = job(tmp_path / "cache", 40, shard_format, classes=3, batch_tokens=batch_tokens)
    done = build(made, Scorer(3), accept)
    assert (done.rows, done.rows_lost, done.complete) == (ORIGINALS + 40, 0, True)
    seal(made.root)
    cache = Cache.open(made.root)
    for record in cache.pair_records:
        found, rows = cache.read(record), planned(made, record.start, record.stop)
        np.testing.assert_array_equal(found["left"], rows.left)
        np.testing.assert_array_equal(found["right"], rows.right)
        np.testing.assert_array_equal(found["lam"], rows.lam)
        expected = expected_logits(made, record.start, record.stop)
        np.testing.assert_array_equal(found["logits"], expected)
    for split in cache.splits:
        logits, rows_of_split = cache.logits(split), made.examples[split]
        batch = rows_of_split.originals(np.arange(len(rows_of_split)), 0)
        np.testing.assert_array_equal(logits, score(batch, 3))


def test_batches_keep_the_budget_and_take_every_row_once() -> None:
    made = examples(60)
    choose = np.random.default_rng(0)
    left, right = choose.integers(0, 60, 200), choose.integers(0, 60, 200)
    pairs = pair_table(left, right, np.zeros(200))
    widths = np.maximum(made.lengths[left], made.lengths[right])
    batches = list(batches_by_length(made, pairs, 50))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    assert all(len(rows) * widths[rows].max() <= 50 for rows in batches)
    assert len(batches) < 70
    assert [len(rows) for rows in batches_by_length(made, pairs, 1)] == [1] * 200


def test_without_pairs(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", pairs=0)
    cache = Cache.open(root)
    assert (cache.seal.length, cache.pair_records) == ((0, ORIGINALS), ())
    cache.check_alignment()


def stop_at(number: int) -> Any:
    def before(batch: int) -> None:
        if batch == number:
            raise KeyboardInterrupt

    return before


@pytest.mark.parametrize("shard_format", FORMATS)
def test_resumed_after_any_batch(tmp_path: Path, shard_format: str) -> None:
    """Every shard that was put is kept; what is missing is computed; the bytes are the same."""
    whole = Scorer()
    made = job(tmp_path / "whole", 40, shard_format)
    build(made, whole, accept)
    seal(made.root)
    expected = contents(made.root)
    for stop in range(0, whole.batches, 3):
        again = job(tmp_path / f"stopped-{stop}", 40, shard_format)
        stopped = Scorer(before=stop_at(stop))
        with pytest.raises(KeyboardInterrupt):
            build(again, stopped, accept)
        missing = missing_rows(again)
        resumed = Scorer()
        done = build(again, resumed, accept)
        assert (done.rows, resumed.rows, missing_rows(again)) == (missing, missing, 0)
        seal(again.root)
        assert contents(again.root) == expected


def test_shards_put_before_a_stop_are_kept(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 80)
    scorer = Scorer()

    def before(batch: int) -> None:
        if scorer.rows >= ORIGINALS + 3 * SHARD_ROWS:
            time.sleep(0.3)  # for the thread that commits
            raise ZeroDivisionError

    scorer.before = before
    with pytest.raises(ZeroDivisionError):
        build(made, scorer, accept)
    assert committed(made.root, "pairs") == [(0, 16), (16, 32), (32, 48)]
    assert not [path for path in made.root.rglob("*") if publish.is_temporary(path.name)]


@pytest.mark.parametrize("shard_format", FORMATS)
def test_an_extension_computes_what_is_missing(tmp_path: Path, shard_format: str) -> None:
    options: Any = {"shard_format": shard_format, "shard_rows": 64, "batch_tokens": 512}
    first = job(tmp_path / "cache", 500, **options)
    build(first, Scorer(), accept)
    seal(first.root)
    before = contents(first.root)
    longer = job(first.root, 800, **options)
    assert missing_rows(longer) == 300
    scorer = Scorer()
    done = build(longer, scorer, accept)
    assert (done.rows, scorer.rows) == (300, 300)
    assert seal(longer.root).rows.pairs == 800
    after = contents(longer.root)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"MANIFEST.json", "README.md"}
    ranges = committed(longer.root, "pairs")
    assert ranges[7:9] == [(448, 500), (500, 512)]
    cache = Cache.open(longer.root)
    for record in cache.pair_records[6:10]:
        expected = expected_logits(longer, record.start, record.stop)
        np.testing.assert_array_equal(cache.read(record)["logits"], expected)


def test_fewer_pairs_change_nothing(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", pairs=40)
    before = contents(root)
    scorer = Scorer()
    done = build(job(root, 20), scorer, accept)
    assert (done.rows, scorer.batches, done.complete) == (0, 0, True)
    assert seal(root).rows.pairs == 40
    assert contents(root) == before


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache")
    before = contents(root)
    sealed(root)
    assert contents(root) == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_name_their_rows(tmp_path: Path, value: float) -> None:
    made = job(tmp_path / "cache")
    lam = planned(made, 16, 32).lam[5]

    def spoiled(batch: MixBatch) -> Logits:
        logits = score(batch)
        logits[batch.lam == lam] = value
        return logits

    with pytest.raises(LogitsError) as found:
        build(made, spoiled, accept)
    rows = planned(made, 21, 22)
    named = f"row 21 (left {rows.left[0]}, right {rows.right[0]}, lam {rows.lam[0]})"
    assert f"NaN or infinity in 1 pairs: {named}" in str(found.value)
    assert (16, 32) not in committed(made.root, "pairs")
    build(made, Scorer(), accept)
    seal(made.root)


def test_originals_that_are_not_finite_name_their_rows(tmp_path: Path) -> None:
    made = job(tmp_path / "cache")
    spoiled = Scorer(change=lambda logits: logits * np.nan)
    with pytest.raises(LogitsError, match=r"originals: row 16 \(split 0, example 16\), row 17"):
        build(made, spoiled, accept)
    assert not made.root.exists()


def test_logits_too_large_for_float16(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", logits_dtype="float16")
    with pytest.raises(LogitsError, match="finite float16 logits.*try --logits-dtype float32"):
        build(made, Scorer(change=lambda logits: logits + 70_000), accept)


def test_float16_logits_are_rounded_once(tmp_path: Path) -> None:
    cache = Cache.open(sealed(tmp_path / "cache", logits_dtype="float16"))
    found = cache.read(cache.pair_records[0])["logits"]
    expected = expected_logits(job(cache.root), 0, 16).astype(np.float16)
    np.testing.assert_array_equal(found, expected)


def test_the_gate_sees_the_validation_logits_before_anything_is_published(tmp_path: Path) -> None:
    made = job(tmp_path / "cache")
    seen: list[dict[str, Logits]] = []

    def refuse(logits: dict[str, Logits]) -> None:
        seen.append(logits)
        assert not made.root.exists()
        raise MixkdError("teacher", expected="0.8", found="0.5", do="choose another")

    scorer = Scorer()
    with pytest.raises(MixkdError, match="teacher: expected 0.8"):
        build(made, scorer, refuse)
    assert not made.root.exists()
    assert scorer.rows < ORIGINALS
    assert list(seen[0]) == ["validation"]
    validation = made.examples["validation"]
    expected = score(validation.originals(np.arange(len(validation)), 0))
    np.testing.assert_array_equal(seen[0]["validation"], expected)


def test_the_gate_is_asked_once_and_its_logits_are_used(tmp_path: Path) -> None:
    made = job(tmp_path / "cache")
    asked: list[object] = []
    scorer = Scorer()
    build(made, scorer, asked.append)
    assert (len(asked), scorer.rows) == (1, ORIGINALS + 40)
    build(job(made.root, 60), Scorer(), asked.append)
    assert len(asked) == 1


def test_a_time_limit_leaves_a_prefix_that_can_be_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(tmp_path / "cache", 80)
    scorer = Scorer()
    monkeypatch.setattr(build_module.time, "monotonic", lambda: float(scorer.rows))
    done = build(made, scorer, accept, deadline=ORIGINALS + 30)
    assert not done.complete
    assert done.rows == ORIGINALS + 32
    assert seal(made.root).length == (32, ORIGINALS)
    Cache.open(made.root).check_alignment()
    monkeypatch.undo()
    assert build(made, Scorer(), accept).rows == 48
    assert seal(made.root).rows.pairs == 80


def test_a_time_limit_within_the_originals(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 80)
    done = build(made, Scorer(), accept, deadline=0)
    assert not done.complete
    assert committed(made.root, "pairs") == []
    assert build(made, Scorer(), accept).complete


def test_a_failure_to_commit_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job(tmp_path / "cache", 2000)
    real = publish.Root.replace

    def full(root: publish.Root, name: str, *arguments: Any) -> None:
        if "pairs-000000032" in name:
            raise DiskError(name, expected="room", found="none", do="make room")
        real(root, name, *arguments)

    monkeypatch.setattr(publish.Root, "replace", full)
    scorer = Scorer(before=lambda batch: time.sleep(0.002))
    with pytest.raises(DiskError, match="pairs-000000032.*expected room"):
        build(made, scorer, accept)
    assert scorer.rows < 1000
    assert committed(made.root, "pairs") == [(0, 16), (16, 32)]
    assert not [thread for thread in threading.enumerate() if thread.name == "committer"]


def test_a_disk_that_is_full_at_the_last_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing more is put: leaving the loop raises it."""
    made = job(tmp_path / "cache", 40)
    real = os.open

    def full(path: Any, *arguments: Any, **more: Any) -> int:
        if "pairs-000000032" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(DiskError, match="No space left on device"):
            build(made, Scorer(), accept)
    assert build(made, Scorer(), accept).rows == 8
