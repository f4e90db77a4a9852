"""A sealed cache reads as it was built; anything else about its files is a named error."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixkd.shared.cache.codecs.base import columns_equal
from mixkd.shared.cache.folder import CacheFolder, original_keys
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.starts import layers_of
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import (
    AlignmentError,
    DamagedFileError,
    MalformedError,
    MissingFileError,
    MixkdError,
    UnsafeFileError,
    UnsealedError,
    UsageError,
    VersionError,
)
from mixkd.shared.json_values import dumps, sha256_hex
from tests.caches import build, seal
from tests.hostile.sign import sign
from tests.numpy_caches import FORMATS, Scorer, accept, expected_logits, job, planned, score, sealed


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A cache of each format; never written into."""
    folder = tmp_path_factory.mktemp("wholes")
    return {name: sealed(folder / name, shard_format=name) for name in FORMATS}


@pytest.fixture(params=FORMATS)
def whole(request: pytest.FixtureRequest, wholes: dict[str, Path]) -> Path:
    return wholes[request.param]


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "cache"))


def signed(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change MANIFEST.json and the seal that it must equal."""
    sign(root, edit=change)


def test_pairs_and_their_logits(whole: Path) -> None:
    cache, made = Cache.open(whole), job(whole)
    assert [(r.start, r.stop) for r in cache.pair_records] == [(0, 16), (16, 32), (32, 40)]
    for record in cache.pair_records:
        columns, rows = cache.read(record), planned(made, record.start, record.stop)
        for name in ("left", "right", "lam"):
            np.testing.assert_array_equal(columns[name], getattr(rows, name))
        expected = expected_logits(made, record.start, record.stop)
        np.testing.assert_array_equal(columns["logits"], expected)


def test_originals_of_every_split(whole: Path) -> None:
    cache, made = Cache.open(whole), job(whole)
    assert cache.splits == ("train", "validation")
    for split in cache.splits:
        logits, examples = cache.logits(split), made.examples[split]
        rows = np.arange(len(examples))
        assert logits.dtype == np.float32
        np.testing.assert_array_equal(logits, score(examples.originals(rows, 0)))


def test_examples_and_what_is_said_of_them(whole: Path) -> None:
    cache, made = Cache.open(whole), job(whole)
    for split in ("train", "validation"):
        assert cache.examples(split).to_bytes() == made.examples[split].to_bytes()
    assert cache.examples("train") is cache.examples()
    assert cache.identity == made.identity
    assert cache.about["task"] == "synthetic"
    assert cache.check_alignment() == cache.seal.scores
    assert cache.name == f"{whole.name}-{made.identity.fingerprint[:8]}"


def test_both_formats_hold_the_same(wholes: dict[str, Path]) -> None:
    one, other = (Cache.open(wholes[name]) for name in FORMATS)
    assert one.identity == other.identity
    assert one.seal.scores == other.seal.scores
    for left, right in zip(one.seal.shards, other.seal.shards, strict=True):
        assert columns_equal(one.read(left), other.read(right))


@pytest.mark.parametrize("changes", [{"classes": 1}, {"logits_dtype": "float16"}, {"classes": 5}])
def test_other_kinds_of_caches(tmp_path: Path, changes: dict[str, Any]) -> None:
    cache = Cache.open(sealed(tmp_path / "cache", **changes))
    cache.check_alignment()
    logits = cache.read(cache.pair_records[0])["logits"]
    assert logits.dtype == changes.get("logits_dtype", "float32")
    assert logits.shape == (16, changes.get("classes", 2))


def test_original_keys() -> None:
    keys = original_keys(job(Path("unused")).identity, 28, 33)
    assert keys["split"].tolist() == [0, 0, 1, 1, 1]
    assert keys["example"].tolist() == [28, 29, 0, 1, 2]


def test_folders_of_models(whole: Path) -> None:
    cache = Cache.open(whole)
    assert cache.starts == ((0,), (0, 1))
    assert cache.student_folder().name == "layers-0-1"
    assert cache.student_folder(1).name == "layers-0"
    assert cache.tokenizer_folder() == whole / "tokenizer"
    with pytest.raises(UsageError, match=r"--layers: expected one of 1, 2 .* found 3"):
        cache.student_folder(3)


def test_several_starts_of_one_depth(tmp_path: Path) -> None:
    """A depth that does not tell which is meant is refused, with what would."""
    starts = ("layers-0", "layers-0-1-2", "layers-0-2-5")
    files = {f"student_init/{name}/config.json": b"{}\n" for name in starts}
    made = sealed(tmp_path / "cache", files={"tokenizer/tokenizer.json": b"{}\n", **files})
    cache = Cache.open(made)
    assert cache.starts == ((0,), (0, 1, 2), (0, 2, 5))
    assert cache.start(1) == (0,)
    assert cache.start([0, 2, 5]) == (0, 2, 5)
    assert cache.student_folder((0, 1, 2)).name == "layers-0-1-2"
    for ambiguous in (3, None):
        with pytest.raises(UsageError, match=r"--layers: expected one of 0-1-2, 0-2-5 .* found 3"):
            cache.start(ambiguous)
    with pytest.raises(UsageError, match=r"expected one of 1, 0-1-2, 0-2-5 .* found 0-1"):
        cache.start((0, 1))


def test_files_of_models(root: Path) -> None:
    cache = Cache.open(root)
    for found, folder in (
        (cache.student_files(), cache.student_folder()),
        (cache.student_files(1), cache.student_folder(1)),
        (cache.tokenizer_files(), cache.tokenizer_folder()),
    ):
        assert found == {path.name: path.read_bytes() for path in folder.iterdir()}
    changed = root / "tokenizer" / "tokenizer.json"
    changed.write_bytes(b"[" + changed.read_bytes()[1:])
    cache.tokenizer_folder()  # was checked before
    with pytest.raises(DamagedFileError, match=r"tokenizer\.json: expected sha256"):
        cache.tokenizer_files()  # is checked as it is read
    with pytest.raises(UsageError, match=r"--layers: expected one of 1, 2 .* found 3"):
        cache.student_files(3)


def test_an_older_seal_is_still_opened(root: Path) -> None:
    before = Cache.open(root)
    sealed(root, 60, before.header.shard_format)
    assert Cache.open(root).seal.rows.pairs == 60
    again = Cache.open(root, before.pin)
    assert again.seal == before.seal
    assert again.pair_records[-1].stop == 40


def test_a_seal_that_is_not_there(root: Path) -> None:
    with pytest.raises(UnsealedError, match=r"seals/0{64}\.json"):
        Cache.open(root, "0" * 64)
    pin = Cache.open(root).pin
    (root / "seals" / f"{'0' * 64}.json").write_bytes((root / "seals" / f"{pin}.json").read_bytes())
    with pytest.raises(DamagedFileError, match=r"expected the seal 000000000000.*sha256 of its"):
        Cache.open(root, "0" * 64)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="found nothing; make one with"):
        Cache.open(tmp_path / "cache")
    (tmp_path / "file").touch()
    with pytest.raises(MissingFileError, match="found a file"):
        Cache.open(tmp_path / "file")


def test_unsealed(tmp_path: Path) -> None:
    build(job(tmp_path / "cache"), Scorer(), accept)
    with pytest.raises(UnsealedError, match=r"MANIFEST\.json: expected a seal.*cache-teacher seal"):
        Cache.open(tmp_path / "cache")


def read(root: Path, name: str) -> None:
    """Read that one file through the reader, the way a student comes to it."""
    cache = Cache.open(root)
    if name.startswith("data/"):
        cache.read(next(record for record in cache.seal.shards if record.file == name))
    elif name.startswith("examples/"):
        cache.examples(Path(name).stem)
    elif name.startswith("tokenizer/"):
        cache.tokenizer_folder()
    elif name.startswith("student_init/"):
        cache.student_folder(layers_of(Path(name).parts[1]))


def names(root: Path) -> list[str]:
    seal = Cache.open(root).seal
    return [record.file for record in seal.shards] + [file.path for file in seal.files]


def test_every_file_missing_altered_or_no_file(root: Path) -> None:
    for name in names(root):
        path = root / name
        good = path.read_bytes()
        # cache.json is parsed before the seal is compared with it.
        malformed = (MalformedError, DamagedFileError)
        kind = malformed if name == "cache.json" else (DamagedFileError,)
        read(root, name)
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(kind, match=f"{name}: expected"):
            read(root, name)
        path.write_bytes(good + b"\n")
        with pytest.raises(kind, match=f"{name}: expected"):
            read(root, name)
        path.unlink()
        with pytest.raises(MixkdError, match=path.parent.name):
            read(root, name)
        aside = root.parent / "aside"
        aside.write_bytes(good)
        path.symlink_to(aside)
        read(root, name)  # as the Hub's client lays a cache out
        path.unlink()
        path.symlink_to("/dev/null")
        with pytest.raises(UnsafeFileError, match=f"{name}: expected a regular file"):
            read(root, name)
        path.unlink()
        path.write_bytes(good)
        read(root, name)


def test_a_shard_is_checked_at_each_reading(root: Path) -> None:
    cache = Cache.open(root)
    record = cache.pair_records[0]
    before = cache.read(record)
    path = root / record.file
    path.write_bytes(bytes(len(path.read_bytes())))
    assert before["lam"].any()
    with pytest.raises(DamagedFileError, match="the content was changed"):
        cache.read(record)


@pytest.mark.parametrize("name", ["tokenizer/more.json", "student_init/layers-0/model.bin"])
def test_a_file_that_the_seal_does_not_name(root: Path, name: str) -> None:
    (root / name).write_bytes(b"{}\n")
    with pytest.raises(MalformedError, match=f"{Path(name).parent}: expected the files"):
        read(root, name)
    (root / name).unlink()
    (root / f"{name}.tmp-0123456789abcdef").write_bytes(b"of a builder that was killed")
    read(root, name)


def test_an_empty_file_in_the_tokenizer(tmp_path: Path) -> None:
    made = job(tmp_path / "cache")
    made.files["tokenizer/added.txt"] = b""
    build(made, Scorer(), accept)
    seal(made.root)
    assert Cache.open(made.root).tokenizer_folder().is_dir()


def test_a_cache_file_of_another_cache(root: Path, tmp_path: Path) -> None:
    """Even if the seal names its digest."""
    shard_format = Cache.open(root).header.shard_format
    other = sealed(tmp_path / "other", shard_format=shard_format, seed=1)
    data = (other / "cache.json").read_bytes()
    (root / "cache.json").write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"cache\.json: expected"):
        Cache.open(root)
    entry = {"path": "cache.json", "bytes": len(data), "sha256": sha256_hex(data)}
    signed(root, lambda value: value["files"].__setitem__(0, entry))
    with pytest.raises(MalformedError, match="expected fingerprint and originals"):
        Cache.open(root)


def test_a_seal_of_fewer_originals(root: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        last = [record for record in value["shards"] if record["kind"] == "originals"][-1]
        value["shards"].remove(last)
        value["rows"]["originals"] = last["start"]

    signed(root, change)
    with pytest.raises(MalformedError, match=r"originals of cache\.json"):
        Cache.open(root)


def test_scores_of_other_labels(root: Path) -> None:
    signed(root, lambda value: value["scores"]["validation"].update(accuracy=0.123))
    with pytest.raises(AlignmentError, match=r"expected validation accuracy 0\.123 as sealed"):
        Cache.open(root).check_alignment()


def test_each_score_is_compared_closely(root: Path) -> None:
    good = (root / "MANIFEST.json").read_bytes()
    for name, sealed_score in Cache.open(root).seal.scores["validation"].items():
        change = {name: sealed_score + 1e-6}
        signed(root, lambda value, change=change: value["scores"]["validation"].update(change))
        with pytest.raises(AlignmentError, match=f"expected validation {name} "):
            Cache.open(root).check_alignment()
        (root / "MANIFEST.json").write_bytes(good)


def test_scores_that_are_not_sealed(root: Path) -> None:
    signed(root, lambda value: value["scores"].pop("train"))
    with pytest.raises(AlignmentError, match="sealed accuracy of train, validation, found one of "):
        Cache.open(root)


def test_a_metric_that_is_not_sealed(root: Path) -> None:
    signed(root, lambda value: value["scores"]["train"].pop("macro_f1"))
    with pytest.raises(AlignmentError, match="expected train macro_f1 None as sealed"):
        Cache.open(root).check_alignment()


def test_examples_that_are_not_sealed(root: Path) -> None:
    assert json.loads((root / "MANIFEST.json").read_bytes())["files"][2]["path"].startswith("ex")
    signed(root, lambda value: value["files"].pop(2))
    with pytest.raises(MalformedError, match=r"expected the files of cache\.json"):
        Cache.open(root)


@pytest.mark.parametrize("size", [0, 100, 2**40])
def test_a_size_that_no_shard_of_so_many_rows_has(root: Path, size: int) -> None:
    signed(root, lambda value: value["shards"][-1].update(bytes=size))
    with pytest.raises(MalformedError, match="bytes for its rows"):
        Cache.open(root)


def test_a_covered_file_said_to_be_empty(root: Path) -> None:
    signed(root, lambda value: [file.update(bytes=0) for file in value["files"]])
    with pytest.raises(DamagedFileError, match="expected 0 bytes"):
        Cache.open(root)


def test_a_record_under_another_name(root: Path) -> None:
    folder = root / "commits"
    shutil.copy(folder / "pairs-000000000.json", folder / "pairs-000000099.json")
    with pytest.raises(MalformedError, match=r"the record of rows from commits/pairs-000000000"):
        CacheFolder(root).record("commits/pairs-000000099.json")


def test_nothing_is_written_and_nothing_else_is_opened(root: Path) -> None:
    """A reader needs neither records, card nor provenance."""
    for name in ("commits", "README.md"):
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    before = sorted(path.relative_to(root) for path in root.rglob("*"))
    Cache.open(root).check_alignment()
    for name in names(root):
        read(root, name)
    assert sorted(path.relative_to(root) for path in root.rglob("*")) == before


def test_a_cache_of_the_layout_before_the_first_release(root: Path) -> None:
    """Whatever is opened first, the message says how to go on."""
    header = json.loads((root / "cache.json").read_bytes())
    header["about"]["shard_format"] = header.pop("shard_format")
    (root / "cache.json").write_bytes(dumps(header))
    (root / "MANIFEST.json").write_bytes(b"{}\n")
    with pytest.raises(VersionError, match="before the first release; build the cache again"):
        Cache.open(root)


def test_where_the_client_of_the_hub_puts_it(root: Path, tmp_path: Path) -> None:
    """Snapshots are links to blobs that are named by their digests."""
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    for path in [path for path in root.rglob("*") if path.is_file()]:
        blob = blobs / sha256_hex(path.read_bytes())
        blob.write_bytes(path.read_bytes())
        link = snapshot / path.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    cache = Cache.open(snapshot)
    cache.check_alignment()
    assert len(cache.pairs()) == cache.seal.rows.pairs
    for name in names(snapshot):
        read(snapshot, name)
    (note,) = verify_cache(snapshot, deep=True)
    assert note.harmless
    assert "links; readers follow them" in note.message


def test_pairs_are_any_range_of_rows(whole: Path) -> None:
    cache, made = Cache.open(whole), job(whole)
    for start, stop in ((0, 40), (3, 20), (16, 17), (39, 99), (40, 40)):
        rows = planned(made, start, min(stop, 40))
        found = cache.pairs(start, stop)
        np.testing.assert_array_equal(found.left, rows.left)
        np.testing.assert_array_equal(found.lam, rows.lam)
        assert found.known_logits.shape == (len(rows), 2)


@pytest.mark.parametrize("name", ["train", "validation", "pairs"])
def test_as_a_data_set_without_a_copy(whole: Path, name: str) -> None:
    cache = Cache.open(whole)
    found = cache.to_dataset(name)
    logits = cache.pairs().known_logits if name == "pairs" else cache.logits(name)
    np.testing.assert_array_equal(np.array(found["teacher_logits"]), logits)
    if name == "pairs":
        assert found["left"][:] == cache.pairs().left.tolist()
    else:
        assert found.features["label"].names == ["class 0", "class 1"]
        assert found["input_ids"][3] == cache.examples(name).input_ids[3].tolist()
        held = found.data.column("input_ids").chunk(0).values.buffers()[1].address
        assert held == cache.examples(name).input_ids.flat.ctypes.data
    with pytest.raises(UsageError, match="expected one of train, validation, pairs, found test"):
        cache.to_dataset("test")


def test_it_says_what_it_is(whole: Path) -> None:
    cache = Cache.open(whole)
    told = "30 train, 12 validation, 40 pairs, 2 classes, pin"
    assert told in repr(cache)
    assert cache.pin[:12] in repr(cache)


def test_shards_of_the_other_format(root: Path, wholes: dict[str, Path]) -> None:
    """The header says which format all shards have."""
    other = "hdf5" if Cache.open(root).header.shard_format == "arrow" else "arrow"
    record = json.loads((wholes[other] / "commits" / "pairs-000000032.json").read_bytes())
    shutil.copy(wholes[other] / record["file"], root / "data")
    signed(root, lambda value: value["shards"].__setitem__(-1, record))
    with pytest.raises(MalformedError, match=r"MANIFEST\.json: expected \w+ shards only"):
        Cache.open(root)
