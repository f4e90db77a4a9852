"""Verify names what a reader would not notice, or not before it is too late."""

from __future__ import annotations

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import shard_name
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import MissingFileError
from mixkd.shared.examples import Examples
from mixkd.shared.json_values import sha256_hex
from mixkd.shared.metrics import CLASSIFICATION
from tests.faults.reading import read_all
from tests.goldens import make
from tests.hostile.sign import sign


@pytest.fixture(params=make.FORMATS)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make.make(tmp_path / "cache", request.param)


def messages(root: Path, deep: bool = False) -> str:
    return "\n".join(found.message for found in verify_cache(root, deep) if not found.harmless)


def test_scores_that_the_logits_do_not_give(root: Path) -> None:
    accuracy = Cache.open(root).seal.scores["validation"]["accuracy"]
    sign(root, edit=lambda seal: seal["scores"]["validation"].update(accuracy=accuracy + 1e-6))
    assert "expected validation accuracy" in messages(root)


@pytest.mark.parametrize("column", ["left", "right", "lam"])
def test_pairs_that_are_not_planned(root: Path, column: str) -> None:
    cache = Cache.open(root)
    record = cache.pair_records[1]
    columns = cache.read(record)
    columns = {**columns, column: columns[column][::-1].copy()}
    layout = cache.identity.layout("pairs", record.start, record.stop)
    sign(root, {record.file: record.codec.encode(layout, columns)})
    assert "expected the pairs of the plan" in messages(root)


def test_examples_that_are_not_those_of_the_identity(root: Path) -> None:
    """Signed again, a reader cannot tell; the identity says what was tokenised."""
    name = "examples/train.arrow"
    rows = Examples.from_bytes((root / name).read_bytes(), 20, CLASSIFICATION, name)
    ids = replace(rows.input_ids, flat=rows.input_ids.flat[::-1].copy())
    sign(root, {name: replace(rows, input_ids=ids).to_bytes()})
    read_all(root)
    assert f"{name}: expected sha256" in messages(root)


@pytest.mark.parametrize("folder", ["tokenizer", "student_init/layers-0"])
def test_files_that_a_loader_would_find(root: Path, folder: str) -> None:
    (root / folder / "more.json").write_bytes(b"{}\n")
    assert f"{folder}: expected the files" in messages(root)


def test_a_seal_under_another_name(root: Path) -> None:
    shutil.copy(root / "MANIFEST.json", root / "seals" / "000000000000.json")
    assert "seals/000000000000.json: expected the seal 000000000000" in messages(root)


def test_shards_where_nothing_is_sealed(root: Path) -> None:
    shard = root / Cache.open(root).pair_records[1].file
    (root / "MANIFEST.json").unlink()
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert f"{shard.name}: expected sha256" in messages(root)


@pytest.mark.parametrize("sealed", [True, False])
def test_no_plan_is_drawn_for_examples_that_do_not_exist(
    root: Path, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header of a few bytes may claim four billion of them."""

    def drawn(*arguments: object, **more: object) -> None:
        raise AssertionError("a plan was drawn")

    monkeypatch.setattr("mixkd.shared.plan.pairs", drawn)
    (root / "examples/train.arrow").write_bytes(b"none of them")
    if not sealed:
        (root / "MANIFEST.json").unlink()
    assert "examples/train.arrow: expected" in messages(root, deep=True)


def test_a_plan_takes_no_more_room_than_the_examples_that_exist(root: Path) -> None:
    """Records and shards of a header that claims 10^8 examples, all signed: no more is drawn."""
    cache = Cache.open(root)
    splits = (structs.replace(cache.identity.splits[0], rows=10**8), *cache.identity.splits[1:])
    identity = structs.replace(cache.identity, splits=splits)
    header = structs.replace(cache.header, identity=identity, fingerprint=identity.fingerprint)
    (root / "cache.json").write_bytes(header.to_bytes())
    for record in cache.pair_records:
        layout = identity.layout("pairs", record.start, record.stop)
        data = record.codec.encode(layout, cache.read(record))
        sha256, fingerprint = sha256_hex(data), identity.fingerprint
        file = shard_name("pairs", record.start, sha256, record.codec.suffix)
        (root / file).write_bytes(data)
        changes = {"file": file, "sha256": sha256, "size_bytes": len(data)}
        record = structs.replace(record, fingerprint=fingerprint, **changes)
        (root / record.name).write_bytes(record.to_bytes())
    tracemalloc.start()
    try:
        told = messages(root, deep=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "examples/train.arrow: expected" in told
    assert "commits/pairs" not in told
    assert peak < 32 * 2**20


def test_links_are_named_and_harmless(root: Path, tmp_path: Path) -> None:
    (root / "data").rename(tmp_path / "elsewhere")
    (root / "data").symlink_to(tmp_path / "elsewhere")
    (note,) = verify_cache(root)
    assert (note.claim, note.harmless) == ("files", True)
    assert f"{root}/data: expected files and folders, found 1 links" in note.message


@pytest.mark.parametrize("deep", [True, False])
def test_a_folder_that_is_not_there(tmp_path: Path, deep: bool) -> None:
    with pytest.raises(MissingFileError, match="expected the folder of a cache, found nothing"):
        verify_cache(tmp_path / "absent", deep)
