"""Damaged caches: cut, lengthened, swapped, replaced and missing files each have a named error."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import DamagedFileError, MissingFileError, MixkdError, UnsealedError
from mixkd.shared.json_values import dumps
from tests.faults.reading import files_read, read_all
from tests.goldens import make
from tests.hostile.sign import sign

JSON_FILES = ["MANIFEST.json", "cache.json", "tokenizer/tokenizer.json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A cache of each format; copy it before you damage it."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: make.make(folder / name, name) for name in make.FORMATS}


@pytest.fixture(params=make.FORMATS)
def root(request: pytest.FixtureRequest, whole: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[request.param], tmp_path / "cache"))


def refused(root: Path, kind: type[MixkdError], path: Path) -> MixkdError:
    """The error, which must name the file and fit on one line."""
    with pytest.raises(kind, match=re.escape(str(path))) as found:
        read_all(root)
    assert "\n" not in str(found.value)
    return found.value


def test_files_cut_or_lengthened(root: Path) -> None:
    for path in files_read(root):
        good = path.read_bytes()
        cuts = {0, 1, min(8, len(good) - 1), len(good) // 2, len(good) - 1}
        for data in (*(good[:cut] for cut in cuts), good + b"\0", good + b"PK\3\4" * 100):
            path.write_bytes(data)
            refused(root, MixkdError, path)
        path.write_bytes(good)
    read_all(root)


def test_the_same_cuts_with_the_size_and_digest_adjusted(root: Path) -> None:
    """By a careless repairer: the frame, the rows or the declared size give it away."""
    for record in Cache.open(root).seal.shards:
        path = root / record.file
        good = path.read_bytes()
        for cut in (0, 1, 8, len(good) // 2, len(good) - 8, len(good) - 1):
            copy = root.parent / f"cut-{cut}"
            shutil.copytree(root, copy)
            sign(copy, {record.file: good[:cut]})
            with pytest.raises(MixkdError):
                read_all(copy)
            shutil.rmtree(copy)


def test_two_shards_swapped(root: Path) -> None:
    first, second = (root / record.file for record in Cache.open(root).pair_records[:2])
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    refused(root, DamagedFileError, first)


def test_two_shards_swapped_and_signed_again(root: Path) -> None:
    """The rows that a shard says it holds are in its own schema."""
    first, second = Cache.open(root).pair_records[:2]
    contents = {
        first.file: (root / second.file).read_bytes(),
        second.file: (root / first.file).read_bytes(),
    }
    sign(root, contents)
    with pytest.raises(MixkdError, match="start"):
        read_all(root)


def test_a_shard_of_another_teacher(root: Path) -> None:
    """Valid in itself and of the same shape, but of another fingerprint."""
    cache = Cache.open(root)
    record = cache.pair_records[0]
    layout = cache.identity.layout("pairs", record.start, record.stop)
    foreign = replace(layout, fingerprint="0" * 64)
    data = record.codec.encode(foreign, cache.read(record))
    sign(root, {record.file: data})
    with pytest.raises(MixkdError, match="fingerprint"):
        read_all(root)


def test_missing_files(root: Path) -> None:
    for path in files_read(root):
        aside = path.rename(path.with_name("aside"))
        kind = UnsealedError if path.name == "MANIFEST.json" else MixkdError
        error = refused(root, kind, path.parent if "tokenizer" in str(path) else root)
        assert isinstance(error, (MissingFileError, UnsealedError)) or "the files" in str(error)
        assert error.do
        aside.rename(path)
    read_all(root)


def test_a_deleted_record_is_no_concern_of_a_reader(root: Path) -> None:
    """The seal repeats it; verify reports it."""
    record = Cache.open(root).pair_records[0]
    (root / record.name).unlink()
    read_all(root)
    assert any(record.name in found.message for found in verify_cache(root) if not found.harmless)


def test_extra_files_are_ignored_and_listed(root: Path) -> None:
    extra = root / "data" / "pairs-000000999-0123456789ab.arrow"
    extra.write_bytes(b"of a builder that was killed")
    read_all(root)
    assert [found.harmless for found in verify_cache(root) if extra.name in found.message] == [True]


@pytest.mark.parametrize("name", ["tokenizer/extra.json", "student_init/layers-0/weights.bin"])
def test_extra_files_beside_sealed_ones_are_refused(root: Path, name: str) -> None:
    """A loader of models and tokenizers would find them by their names."""
    (root / name).write_bytes(b"{}\n")
    with pytest.raises(MixkdError, match="the files"):
        read_all(root)


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\0" * 64,
        '{"format": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}\n",
        b'{"format": 1, "format": 1}\n',
        b"NaN\n",
        b"[" * 200_000,
        b"9" * 5000 + b"\n",
    ],
    ids=["empty", "cut", "nul", "utf16", "bom", "twice", "nan", "deep", "digits"],
)
def test_json_that_is_none(whole: dict[str, Path], tmp_path: Path, name: str, data: bytes) -> None:
    root = Path(shutil.copytree(whole["arrow"], tmp_path / "cache"))
    (root / name).write_bytes(data)
    refused(root, MixkdError, root / name)


def test_a_seal_of_another_digest(root: Path) -> None:
    value = json.loads((root / "MANIFEST.json").read_bytes())
    value["rows"]["pairs"] -= 1
    (root / "MANIFEST.json").write_bytes(dumps(value))
    with pytest.raises(MixkdError, match="expected a content equal to seals/"):
        read_all(root)


@pytest.mark.parametrize(
    "change",
    ["duplicate", "gap", "reordered", "total", "foreign", "negative", "huge", "empty"],
)
def test_ranges_that_are_not_every_row_once(root: Path, change: str) -> None:
    def edit(seal: dict[str, Any]) -> None:
        records = seal["shards"]
        if change == "duplicate":
            records.append(records[-1])
        elif change == "gap":
            del records[-2]
        elif change == "reordered":
            records[-1], records[-2] = records[-2], records[-1]
        elif change == "total":
            seal["rows"]["pairs"] += 1
        elif change == "foreign":
            records[0]["fingerprint"] = "0" * 64
        elif change == "negative":
            records[0]["start"] = -1
        elif change == "huge":
            records[-1]["stop"] = seal["rows"]["pairs"] = 2**63
        else:
            records[-1]["stop"] = records[-1]["start"]

    sign(root, edit=edit)
    with pytest.raises(MixkdError, match="MANIFEST.json"):
        Cache.open(root)


@pytest.mark.parametrize("version", [2, 3, 10**6])
def test_a_newer_format(root: Path, version: int) -> None:
    sign(root, edit=lambda seal: seal.update(format=version))
    with pytest.raises(MixkdError, match=f"format {version}; upgrade mixkd"):
        Cache.open(root)


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0])
def test_no_format_at_all(root: Path, version: object) -> None:
    sign(root, edit=lambda seal: seal.update(format=version))
    expected = "format 1" if type(version) is int else r"`int` at `\$.format`"
    with pytest.raises(MixkdError, match=f"expected {expected}"):
        Cache.open(root)


def test_a_read_only_cache_is_read(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    read_all(root)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_shard_replaced_while_it_is_open(root: Path) -> None:
    """A shard is read whole, so a later rename over it is seen at the next reading, as damage."""
    cache = Cache.open(root)
    record = cache.pair_records[0]
    before = cache.read(record)
    (root / "new").write_bytes(b"\0" * record.size_bytes)
    os.replace(root / "new", root / record.file)
    assert before["lam"].max() <= 1
    with pytest.raises(DamagedFileError, match=record.file):
        cache.read(record)
