"""Records and seals are read strictly, and a seal names every row exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.cache.records import Made, Record
from mixkd.shared.cache.seal import Seal
from mixkd.shared.errors import MalformedError, MixkdError, VersionError
from mixkd.shared.json_values import dumps
from tests.numpy_caches import sealed

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("manifest") / "cache")


@pytest.fixture(scope="module")
def data(root: Path) -> bytes:
    return (root / "MANIFEST.json").read_bytes()


def signed(data: bytes, change: Change) -> bytes:
    """The seal with a change."""
    value = json.loads(data)
    change(value)
    return dumps(value)


def test_round_trip(data: bytes) -> None:
    seal = Seal.from_bytes(data, "MANIFEST.json")
    assert seal.to_bytes() == data
    assert seal.length == (40, 42)
    starts = [(record.kind, record.start, record.stop) for record in seal.shards]
    assert starts == [
        *(("originals", start, min(start + 16, 42)) for start in (0, 16, 32)),
        *(("pairs", start, min(start + 16, 40)) for start in (0, 16, 32)),
    ]


def test_seals_are_ordered_by_pairs_first(data: bytes) -> None:
    assert Seal.from_bytes(data, "x").length > (39, 10**6)


def first(change: Change) -> Change:
    """A change to the first shard's record."""
    return lambda value: change(value["shards"][0])


def last_file(name: str) -> Change:
    return lambda value: value["files"][-1].update(path=name)


def a_gap(value: dict[str, Any]) -> None:
    del value["shards"][-2]


def an_overlap(value: dict[str, Any]) -> None:
    value["shards"][-2]["stop"] += 1


def pairs_first(value: dict[str, Any]) -> None:
    value["shards"] = value["shards"][3:] + value["shards"][:3]


def originals_after(value: dict[str, Any]) -> None:
    value["shards"].append(value["shards"].pop(2))


CHANGES: dict[str, tuple[Change, str]] = {
    "unknown key": (lambda v: v.update(extra=1), r"no key `extra` in `\$`"),
    "missing key": (lambda v: v.pop("scores"), r"a key `scores` in `\$`"),
    "unknown rows": (lambda v: v["rows"].update(x=1), r"no key `x` in `\$\.rows`"),
    "bool rows": (lambda v: v["rows"].update(pairs=True), r"at `\$\.rows\.pairs`"),
    "negative rows": (lambda v: v["rows"].update(pairs=-40), r"at `\$\.rows\.pairs`"),
    "more rows": (lambda v: v["rows"].update(pairs=41), "rows 42 and 41"),
    "fewer rows": (lambda v: v["rows"].update(originals=41), "rows 41 and 40"),
    "shards an object": (lambda v: v.update(shards={}), r"at `\$\.shards`"),
    "no shards": (lambda v: v.update(shards=[]), "rows 42 and 40"),
    "gap": (a_gap, "pairs from row 16"),
    "overlap": (an_overlap, "pairs from row 33"),
    "pairs first": (pairs_first, "originals from row 0"),
    "originals after pairs": (originals_after, "originals from row 32"),
    "first twice": (lambda v: v["shards"].insert(0, v["shards"][0]), "originals from row 16"),
    "foreign": (first(lambda r: r.update(fingerprint="0" * 64)), "fingerprint"),
    "record key": (first(lambda r: r.update(extra=1)), r"no key `extra` in `\$\.shards\[0\]`"),
    "record a list": (lambda v: v["shards"].insert(0, []), r"at `\$\.shards\[0\]`"),
    "kind": (first(lambda r: r.update(kind="triples")), r"at `\$\.shards\[0\]\.kind`"),
    "bool start": (first(lambda r: r.update(start=False)), r"at `\$\.shards\[0\]\.start`"),
    "negative start": (first(lambda r: r.update(start=-1)), r"at `\$\.shards\[0\]\.start`"),
    "no rows": (first(lambda r: r.update(stop=0)), "start < stop"),
    "huge stop": (first(lambda r: r.update(stop=2**53 + 1)), r"at `\$\.shards\[0\]\.stop`"),
    "bytes": (first(lambda r: r.update(bytes=1.5)), r"at `\$\.shards\[0\]\.bytes`"),
    "digest": (first(lambda r: r.update(sha256="g" * 64)), r"at `\$\.shards\[0\]\.sha256`"),
    "made": (first(lambda r: r.update(made=[])), r"at `\$\.shards\[0\]\.made`"),
    "path out": (first(lambda r: r.update(file="../x")), "file data/originals-000000000-"),
    "absolute path": (first(lambda r: r.update(file="/etc/passwd")), "file data/originals"),
    "other suffix": (
        first(lambda r: r.update(file=r["file"].replace(".arrow", ".pkl"))),
        "file data/originals",
    ),
    "name of another digest": (
        first(lambda r: r.update(sha256="0" * 64)),
        r"file data/originals\-000000000\-000000000000\.arrow or da",
    ),
    "file not text": (first(lambda r: r.update(file=["x"])), r"at `\$\.shards\[0\]\.file`"),
    "covered path out": (last_file("../x.json"), r"at `\$\.files\[5\]\.path`"),
    "covered path in": (last_file("tokenizer/../../x.json"), r"at `\$\.files\[5\]\.path`"),
    "covered absolute": (last_file("/etc/x.json"), r"at `\$\.files\[5\]\.path`"),
    "covered hidden": (last_file("tokenizer/.json"), r"at `\$\.files\[5\]\.path`"),
    "covered code": (last_file("tokenizer/tokenization.py"), r"at `\$\.files\[5\]\.path`"),
    "covered pickle": (
        last_file("student_init/layers-0/pytorch_model.bin"),
        r"at `\$\.files\[5\]\.path`",
    ),
    "covered newline": (last_file("tokenizer/x.json\n"), r"at `\$\.files\[5\]\.path`"),
    "covered backslash": (last_file("tokenizer/..\\x.json"), r"at `\$\.files\[5\]\.path`"),
    "covered deep": (last_file("tokenizer/a/b.json"), r"at `\$\.files\[5\]\.path`"),
    "covered twice": (lambda v: v["files"].append(v["files"][-1]), "files in order"),
    "covered order": (lambda v: v["files"].reverse(), "files in order"),
    "covered key": (lambda v: v["files"][0].update(x=1), r"no key `x` in `\$\.files\[0\]`"),
    "covered size": (lambda v: v["files"][0].update(bytes=True), r"at `\$\.files\[0\]\.bytes`"),
    "scores a list": (lambda v: v.update(scores=[]), r"at `\$"),
    "scores flat": (lambda v: v.update(scores={"train": 1.0}), r"at `\$"),
    "score a text": (
        lambda v: v["scores"]["train"].update(accuracy="1"),
        r"at `\$\[\.\.\.\]\[\.\.\.\]`",
    ),
    "score a bool": (
        lambda v: v["scores"]["train"].update(accuracy=True),
        r"at `\$\[\.\.\.\]\[\.\.\.\]`",
    ),
    "score endless": (
        lambda v: v["scores"]["train"].update(accuracy=10**400),
        r"at `\$\[\.\.\.\]\[\.\.\.\]`",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_no_builder_seals(data: bytes, name: str) -> None:
    change, expected = CHANGES[name]
    with pytest.raises(MalformedError, match=rf"^MANIFEST\.json(, scores)?: .*{expected}"):
        Seal.from_bytes(signed(data, change), "MANIFEST.json")


def test_a_newer_format_even_with_unknown_keys(data: bytes) -> None:
    with pytest.raises(VersionError, match="found format 2; upgrade mixkd"):
        Seal.from_bytes(signed(data, lambda v: v.update(format=2, surprise=[])), "MANIFEST.json")


def test_a_newer_record_in_a_seal(data: bytes) -> None:
    with pytest.raises(VersionError, match="found format 2; upgrade mixkd"):
        Seal.from_bytes(signed(data, first(lambda r: r.update(format=2))), "MANIFEST.json")


@pytest.mark.parametrize("version", [0, True, None, "1", 1.0])
def test_no_format(data: bytes, version: object) -> None:
    with pytest.raises(MixkdError, match=r"at `\$\.format`|expected `object` at `\$`"):
        Seal.from_bytes(signed(data, lambda v: v.update(format=version)), "MANIFEST.json")


def test_a_record_of_its_own(root: Path) -> None:
    path = root / "commits" / "pairs-000000016.json"
    record = Record.from_bytes(path.read_bytes(), path)
    assert (record.kind, record.start, record.stop) == ("pairs", 16, 32)
    assert record.name == "commits/pairs-000000016.json"
    assert record.to_bytes() == path.read_bytes()
    assert record.codec.name == "arrow"
    made = {"torch": "2.0", "transformers": "5.0", "device": "a card", "dtype": "bfloat16"}
    value = {**json.loads(path.read_bytes()), "made": made}
    assert Record.from_bytes(dumps(value), path).made == Made(**made)


def test_nothing_sealed_names_this_machine_or_time(root: Path, data: bytes) -> None:
    for text in (data, (root / "cache.json").read_bytes()):
        assert str(root).encode() not in text
        assert b"seconds" not in text
