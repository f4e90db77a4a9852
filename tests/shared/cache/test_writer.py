"""Of several builders one wins each shard; no file or record of another cache is taken over."""

from __future__ import annotations

import collections
import dataclasses
import os
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import h5py
import msgspec
import numpy as np
import pyarrow as pa
import pytest

from mixkd.shared import publish
from mixkd.shared.cache.codecs import CODECS
from mixkd.shared.cache.committer import Committer
from mixkd.shared.cache.folder import original_keys
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import DifferentCacheError, DiskError, MalformedError, OutputError
from mixkd.teacher_cache.build import Built
from tests.caches import Job, build, committed, seal
from tests.numpy_caches import (
    FORMATS,
    SHARD_ROWS,
    Scorer,
    accept,
    contents,
    examples,
    expected_logits,
    job,
    planned,
    sealed,
)

ORIGINALS = 42


def test_rows_that_change_on_the_way_to_the_disk_are_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(tmp_path / "cache")
    writer = create(made)
    codec = CODECS["arrow"]
    real = codec.encode

    def broken(layout: Any, columns: Any) -> bytes:
        return real(layout, {**columns, "logits": columns["logits"] + 1})

    monkeypatch.setattr(codec, "encode", broken)
    with pytest.raises(DiskError, match="different values when the shard was read back"):
        writer.commit("pairs", (0, 16), pair_columns(made, 0, 16), made.made)
    assert [name for name in contents(made.root) if name.startswith(("data/", "commits/"))] == []


@pytest.mark.parametrize("shard_format", FORMATS)
def test_a_format_that_fails_half_way(
    tmp_path: Path, shard_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both writers end their files validly when their `with` block fails: short, and readable."""
    made = job(tmp_path / "cache", shard_format=shard_format)
    writer = create(made)
    before = contents(made.root)
    columns = pair_columns(made, 0, 16)
    real_file, real_set = pa.ipc.new_file, h5py.Group.create_dataset

    def after_the_batch(*arguments: Any, **more: Any) -> Any:
        real = real_file(*arguments, **more)
        writer = MagicMock()
        writer.__enter__.return_value.write_batch.side_effect = RuntimeError("out of memory")
        writer.__exit__.side_effect = real.__exit__
        return writer

    def after_two(group: Any, name: str, **more: Any) -> Any:
        if name == "lam":
            raise RuntimeError("out of memory")
        return real_set(group, name, **more)

    with monkeypatch.context() as patch:
        patch.setattr(pa.ipc, "new_file", after_the_batch)
        patch.setattr(h5py.Group, "create_dataset", after_two)
        with pytest.raises(RuntimeError, match="out of memory"):
            writer.commit("pairs", (0, 16), columns, made.made)
    assert contents(made.root) == before


def create(made: Job) -> CacheWriter:
    return CacheWriter.create(made.root, made.draft, made.examples, made.files)


def pair_columns(made: Job, start: int, stop: int, more: float = 0) -> Any:
    rows = planned(made, start, stop)
    logits = expected_logits(made, start, stop) + np.float32(more)
    return {"left": rows.left, "right": rows.right, "lam": rows.lam, "logits": logits}


def test_a_second_builder_meanwhile(tmp_path: Path) -> None:
    """It commits every shard before this one does; this one notices and loses without a word."""
    made = job(tmp_path / "cache", 80)
    other = Scorer()

    def before(batch: int) -> None:
        if scorer.rows >= ORIGINALS and not other.rows:
            while len(committed(made.root, "originals")) < -(-ORIGINALS // SHARD_ROWS):
                time.sleep(0.01)  # for the thread that commits
            build(made, other, accept)

    scorer = Scorer(before=before)
    done = build(made, scorer, accept)
    assert done.complete
    assert done.rows == ORIGINALS
    assert 0 < done.rows_lost < SHARD_ROWS, "one batch, not the rest of its shard"
    assert scorer.rows == ORIGINALS + done.rows_lost
    assert other.rows == 80
    assert seal(made.root).rows.pairs == 80
    Cache.open(made.root).check_alignment()


def test_the_loser_of_other_bytes_removes_its_shard(tmp_path: Path) -> None:
    """Two devices give other last digits: the first record stands, the other shard goes."""
    made = job(tmp_path / "cache")
    writer = create(made)
    first, second = (pair_columns(made, 0, 16, more) for more in (0, 1e-3))
    assert writer.commit("pairs", (0, 16), first, made.made)
    assert not writer.commit("pairs", (0, 16), first, made.made)
    assert not writer.commit("pairs", (0, 16), second, made.made)
    other = msgspec.structs.replace(made.made, device="other")
    assert not writer.commit("pairs", (0, 16), first, other)
    (record,) = CacheWriter.open(made.root).records("pairs")
    assert [path.name for path in (made.root / "data").iterdir()] == [Path(record.file).name]
    assert record.made == made.made


def test_two_builders_at_once(tmp_path: Path) -> None:
    """On like machines, a step apart: the later one notices, and leaves the earlier one's way."""
    made = job(tmp_path / "cache", 160)
    whole = sealed(tmp_path / "whole", 160)
    first_record = made.root / "commits" / "pairs-000000000.json"
    done: dict[str, Built] = {}

    def wait(batch: int) -> None:
        while scorers["later"].rows >= ORIGINALS and not first_record.exists():
            time.sleep(0.001)

    scorers = {
        "earlier": Scorer(before=lambda batch: time.sleep(0.001)),
        "later": Scorer(before=wait),
    }

    def work(name: str) -> None:
        done[name] = build(made, scorers[name], accept)

    threads = [threading.Thread(target=work, args=(name,)) for name in scorers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found.complete for found in done.values()] == [True, True]
    assert sum(found.rows for found in done.values()) == ORIGINALS + 160
    lost = sum(found.rows_lost for found in done.values())
    assert sum(scorer.rows for scorer in scorers.values()) == ORIGINALS + 160 + lost
    assert lost < ORIGINALS + 160
    seal(made.root)
    assert contents(made.root) == contents(whole)


def test_the_folder_of_another_cache(tmp_path: Path) -> None:
    """Neither a file of another build, nor a record of another identity, is taken over."""
    root = sealed(tmp_path / "cache")
    before = contents(root)
    other = job(root, seed=1)
    with pytest.raises(DifferentCacheError, match=r"mixup\.seed 1 \(there: 0\)"):
        build(other, Scorer(), accept)
    with pytest.raises(OutputError, match=r"cache\.json: expected no file, or the one"):
        create(other)
    changed = {**other.examples, "train": examples(30, seed=9)}
    with pytest.raises(OutputError, match=r"train\.arrow: expected no file, or the one"):
        create(dataclasses.replace(other, examples=changed))
    assert contents(root) == before


def test_a_cache_that_is_cut_otherwise(tmp_path: Path) -> None:
    """The same rows in shards of another size would be committed twice."""
    root = sealed(tmp_path / "cache")
    other = job(root, shard_rows=8)
    with pytest.raises(OutputError, match=r"cache\.json: expected no file, or the one"):
        create(other)


def test_a_cache_is_created_by_its_last_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A creation that stops halfway is no cache, and the same build completes it."""
    made = job(tmp_path / "cache")
    real = publish.Root.create
    names: list[str] = []

    def watched(root: publish.Root, name: str, data: bytes) -> bytes | None:
        names.append(name)
        if name == "cache.json":
            raise DiskError(name, expected="room", found="none", do="make room")
        return real(root, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(publish.Root, "create", watched)
        with pytest.raises(DiskError):
            build(made, Scorer(), accept)
    assert names[-1] == "cache.json"
    assert not (made.root / "cache.json").exists()
    build(made, Scorer(), accept)
    seal(made.root)
    assert contents(made.root) == contents(sealed(tmp_path / "whole"))


def test_another_about_is_the_same_cache(tmp_path: Path) -> None:
    """Names are not identity: who created the cache first has named it."""
    root = sealed(tmp_path / "cache")
    other = job(root, 60)
    other.draft.about["task"] = "another name"
    create(other)
    assert build(other, Scorer(), accept).rows == 20


def test_a_committer_that_nobody_leaves_with_work(tmp_path: Path) -> None:
    made = job(tmp_path / "cache")
    writer = create(made)
    began = time.monotonic()
    with Committer(writer, made.made) as committer:
        committer.wait()
        keys = original_keys(made.identity, 0, 16)
        columns = {**keys, "logits": np.zeros((16, 2), np.float32)}
        committer.put("originals", (0, 16), columns)
    assert (committer.rows, committer.rows_lost) == (16, 0)
    assert time.monotonic() - began < 5


def test_an_extension_opens_each_record_at_most_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sealed(tmp_path / "cache", 12 * SHARD_ROWS)
    assert len(list((root / "commits").iterdir())) == 15
    opened: collections.Counter[str] = collections.Counter()
    real = os.open

    def counted(path: Any, *arguments: Any, **more: Any) -> int:
        opened[str(path)] += "/commits/" in str(path) and str(path).endswith(".json")
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", counted)
    sealed(root, 20 * SHARD_ROWS)
    assert sum(opened.values()) >= 15
    assert max(opened.values()) <= 2


@pytest.mark.parametrize(
    "change", [{"about": {"licences": ["mit"]}}, {"metric": 3}, {"shard_rows": 2**60}]
)
def test_a_header_that_no_reader_takes_is_not_written(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    made = job(tmp_path / "cache")
    draft = msgspec.structs.replace(made.draft, **change)
    with pytest.raises(
        MalformedError, match=rf"cache\.json: expected .*at `\$\.{next(iter(change))}"
    ):
        create(dataclasses.replace(made, draft=draft))
    assert not made.root.exists()
