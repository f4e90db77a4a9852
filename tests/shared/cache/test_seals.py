"""Records and seals are read strictly, and a seal names every row exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.cache.seal import Record, Seal
from mixkd.shared.errors import CacheError, MalformedError, VersionError
from mixkd.shared.json_values import dumps, sha256_hex
from tests.numpy_caches import sealed

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("manifest") / "cache")


@pytest.fixture(scope="module")
def data(root: Path) -> bytes:
    return (root / "MANIFEST.json").read_bytes()


def signed(data: bytes, change: Change) -> bytes:
    """The seal with a change and the digest that belongs to it."""
    value = json.loads(data)
    change(value)
    value.pop("digest", None)
    return dumps({**value, "digest": sha256_hex(dumps(value))})


def test_round_trip(data: bytes) -> None:
    seal = Seal.from_bytes(data, "MANIFEST.json")
    assert seal.to_bytes() == data
    assert seal.length == (40, 42)
    assert seal.name == f"seals/{seal.digest[:12]}.json"
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
    return lambda value: value["files"][-1].update(file=name)


def a_gap(value: dict[str, Any]) -> None:
    del value["shards"][-2]


def an_overlap(value: dict[str, Any]) -> None:
    value["shards"][-2]["stop"] += 1


def pairs_first(value: dict[str, Any]) -> None:
    value["shards"] = value["shards"][3:] + value["shards"][:3]


def originals_after(value: dict[str, Any]) -> None:
    value["shards"].append(value["shards"].pop(2))


CHANGES: dict[str, tuple[Change, str]] = {
    "unknown key": (lambda v: v.update(extra=1), "an object with the keys"),
    "missing key": (lambda v: v.pop("scores"), "an object with the keys"),
    "unknown rows": (lambda v: v["rows"].update(x=1), "an object with the keys"),
    "bool rows": (lambda v: v["rows"].update(pairs=True), "an integer in"),
    "negative rows": (lambda v: v["rows"].update(pairs=-40), "an integer in"),
    "more rows": (lambda v: v["rows"].update(pairs=41), "rows 42 and 41"),
    "fewer rows": (lambda v: v["rows"].update(originals=41), "rows 41 and 40"),
    "shards an object": (lambda v: v.update(shards={}), "a list"),
    "no shards": (lambda v: v.update(shards=[]), "rows 42 and 40"),
    "gap": (a_gap, "pairs from row 16"),
    "overlap": (an_overlap, "pairs from row 33"),
    "pairs first": (pairs_first, "originals from row 0"),
    "originals after pairs": (originals_after, "originals from row 32"),
    "first twice": (lambda v: v["shards"].insert(0, v["shards"][0]), "originals from row 16"),
    "foreign": (first(lambda r: r.update(fingerprint="0" * 64)), "fingerprint"),
    "record key": (first(lambda r: r.update(extra=1)), "an object with the keys"),
    "record a list": (lambda v: v["shards"].insert(0, []), "an object with the keys"),
    "kind": (first(lambda r: r.update(kind="triples")), "one of originals, pairs"),
    "bool start": (first(lambda r: r.update(start=False)), "an integer in"),
    "negative start": (first(lambda r: r.update(start=-1)), "an integer in"),
    "no rows": (first(lambda r: r.update(stop=0)), "start < stop"),
    "huge stop": (first(lambda r: r.update(stop=2**53 + 1)), "an integer in"),
    "bytes": (first(lambda r: r.update(bytes=1.5)), "an integer in"),
    "digest": (first(lambda r: r.update(sha256="g" * 64)), "text like"),
    "made": (first(lambda r: r.update(made=[])), "start < stop"),
    "path out": (first(lambda r: r.update(file="../x")), "file data/originals-000000000-"),
    "absolute path": (first(lambda r: r.update(file="/etc/passwd")), "file data/originals"),
    "other suffix": (
        first(lambda r: r.update(file=r["file"].replace(".arrow", ".pkl"))),
        "file data/originals",
    ),
    "name of another digest": (
        first(lambda r: r.update(sha256="0" * 64)),
        "file data/originals-000000000-000000000000.arrow or .h5",
    ),
    "file not text": (first(lambda r: r.update(file=["x"])), "text"),
    "covered path out": (last_file("../x.json"), "text like"),
    "covered path in": (last_file("tokenizer/../../x.json"), "text like"),
    "covered absolute": (last_file("/etc/x.json"), "text like"),
    "covered hidden": (last_file("tokenizer/.json"), "text like"),
    "covered code": (last_file("tokenizer/tokenization.py"), "text like"),
    "covered pickle": (last_file("student_init/1-layers/pytorch_model.bin"), "text like"),
    "covered newline": (last_file("tokenizer/x.json\n"), "text like"),
    "covered backslash": (last_file("tokenizer/..\\x.json"), "text like"),
    "covered deep": (last_file("tokenizer/a/b.json"), "text like"),
    "covered twice": (lambda v: v["files"].append(v["files"][-1]), "files in order"),
    "covered order": (lambda v: v["files"].reverse(), "files in order"),
    "covered key": (lambda v: v["files"][0].update(x=1), "an object with the keys"),
    "covered size": (lambda v: v["files"][0].update(bytes=True), "an integer in"),
    "scores a list": (lambda v: v.update(scores=[]), "scores as split"),
    "scores flat": (lambda v: v.update(scores={"train": 1.0}), "scores as split"),
    "score a text": (lambda v: v["scores"]["train"].update(accuracy="1"), "a finite number"),
    "score a bool": (lambda v: v["scores"]["train"].update(accuracy=True), "a finite number"),
    "score endless": (lambda v: v["scores"]["train"].update(accuracy=10**400), "a finite"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_no_builder_seals(data: bytes, name: str) -> None:
    change, expected = CHANGES[name]
    with pytest.raises(MalformedError, match=rf"^MANIFEST\.json: .*{expected}"):
        Seal.from_bytes(signed(data, change), "MANIFEST.json")


def test_another_digest(data: bytes) -> None:
    value = json.loads(data)
    value["digest"] = "0" * 64
    with pytest.raises(MalformedError, match="the digest of its own content"):
        Seal.from_bytes(dumps(value), "MANIFEST.json")


def test_a_newer_format_even_with_unknown_keys(data: bytes) -> None:
    with pytest.raises(VersionError, match="found format 2; upgrade mixkd"):
        Seal.from_bytes(signed(data, lambda v: v.update(format=2, surprise=[])), "MANIFEST.json")


def test_a_newer_record_in_a_seal(data: bytes) -> None:
    with pytest.raises(VersionError, match="found format 2; upgrade mixkd"):
        Seal.from_bytes(signed(data, first(lambda r: r.update(format=2))), "MANIFEST.json")


@pytest.mark.parametrize("version", [0, True, None, "1", 1.0])
def test_no_format(data: bytes, version: object) -> None:
    with pytest.raises(CacheError, match="expected format 1"):
        Seal.from_bytes(signed(data, lambda v: v.update(format=version)), "MANIFEST.json")


def test_a_record_of_its_own(root: Path) -> None:
    path = root / "commits" / "pairs-000000016.json"
    record = Record.from_bytes(path.read_bytes(), path)
    assert (record.kind, record.start, record.stop) == ("pairs", 16, 32)
    assert record.name == "commits/pairs-000000016.json"
    assert record.to_bytes() == path.read_bytes()
    assert record.shard_format == "arrow"
    value = {**record.to_json(), "made": {"anything": [1, {"deep": None}]}}
    assert Record.from_bytes(dumps(value), path).made == value["made"]


def test_nothing_sealed_names_this_machine_or_time(root: Path, data: bytes) -> None:
    for text in (data, (root / "cache.json").read_bytes()):
        assert str(root).encode() not in text
        assert b"seconds" not in text
