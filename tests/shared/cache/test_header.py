"""`cache.json` is read strictly: exact keys, exact types, no contradictions, no other version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.cache.header import CacheFile, Identity
from mixkd.shared.errors import CacheError, MalformedError, VersionError
from mixkd.shared.json_values import dumps, sha256_hex
from tests.numpy_caches import job


@pytest.fixture
def file() -> CacheFile:
    return job(Path("unused"), classes=3).file


def changed(file: CacheFile, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The file with a change to its JSON and the fingerprint that belongs to it."""
    value = json.loads(file.to_bytes())
    change(value)
    if isinstance(value.get("identity"), dict):
        value["fingerprint"] = sha256_hex(dumps(value["identity"]))
    return dumps(value)


def test_round_trip(file: CacheFile) -> None:
    assert CacheFile.from_bytes(file.to_bytes(), "cache.json") == file
    assert file.identity.n_originals == 42
    assert file.identity.n_train == 30
    assert file.identity.classes == 3


def test_regression_has_one_logit() -> None:
    assert job(Path("unused"), classes=1).identity.classes == 1


def test_every_field_is_part_of_the_fingerprint(file: CacheFile) -> None:
    identity = file.identity
    split = dataclasses.replace(identity.splits[1], ids_sha256="0" * 64)
    others: dict[str, Any] = {
        "problem_type": "regression",
        "label_names": ("b", "a", "c"),
        "splits": (identity.splits[0], split),
        "teacher_sha256": "2" * 64,
        "teacher_columns": (1, 0, 2),
        "max_length": 13,
        "beta": 0.5,
        "mask": "heavier",
        "seed": 1,
        "logits_dtype": "float16",
    }
    assert list(others) == [field.name for field in dataclasses.fields(Identity)]
    made = [dataclasses.replace(identity, **{name: value}) for name, value in others.items()]
    assert len({other.fingerprint for other in [identity, *made]}) == len(others) + 1
    assert all(len(identity.differences(other)) >= 1 for other in made)


def test_differences_name_both_sides(file: CacheFile) -> None:
    other = dataclasses.replace(file.identity, beta=0.5, teacher_sha256="2" * 64)
    assert file.identity.differences(other) == [
        "mixup.beta 0.4 (there: 0.5)",
        "teacher.sha256 111111111111 (there: 222222222222)",
    ]
    assert file.identity.differences(file.identity) == []


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown key": (lambda v: v.update(extra=1), "an object with the keys"),
    "missing key": (lambda v: v.pop("shard_rows"), "an object with the keys"),
    "unknown identity key": (lambda v: v["identity"].update(extra=1), "an object with the keys"),
    "unknown mixup key": (lambda v: v["identity"]["mixup"].update(x=1), "an object with the keys"),
    "unknown split key": (lambda v: v["identity"]["splits"][0].update(x=1), "an object with"),
    "identity a list": (lambda v: v.update(identity=[]), "an object with the keys"),
    "about a list": (lambda v: v.update(about=[]), "an object about"),
    "no shard rows": (lambda v: v.update(shard_rows=0), "shard_rows > 0"),
    "bool shard rows": (lambda v: v.update(shard_rows=True), "an integer in"),
    "float shard rows": (lambda v: v.update(shard_rows=16.0), "an integer in"),
    "negative rows": (lambda v: v["identity"]["splits"][0].update(rows=-1), "an integer in"),
    "bool rows": (lambda v: v["identity"]["splits"][1].update(rows=True), "an integer in"),
    "huge rows": (lambda v: v["identity"]["splits"][1].update(rows=2**53 + 1), "an integer in"),
    "no rows": (lambda v: v["identity"]["splits"][1].update(rows=0), "one of each other split"),
    "one train row": (lambda v: v["identity"]["splits"][0].update(rows=1), "two train examples"),
    "train missing": (lambda v: v["identity"]["splits"].pop(0), "splits train and"),
    "train alone": (lambda v: v["identity"]["splits"].pop(1), "splits train and"),
    "train twice": (lambda v: v["identity"]["splits"][1].update(name="train"), "each once"),
    "path as split": (lambda v: v["identity"]["splits"][1].update(name="../x"), "text like"),
    "split in capitals": (lambda v: v["identity"]["splits"][1].update(name="Dev"), "text like"),
    "short digest": (lambda v: v["identity"]["teacher"].update(sha256="1" * 63), "text like"),
    "digest in capitals": (
        lambda v: v["identity"]["teacher"].update(sha256="A" * 64),
        "text like",
    ),
    "digest and newline": (
        lambda v: v["identity"]["teacher"].update(sha256="1" * 64 + "\n"),
        "text like",
    ),
    "columns": (lambda v: v["identity"]["teacher"].update(columns=[0, 1, 1]), "a permutation"),
    "column missing": (lambda v: v["identity"]["teacher"].update(columns=[0, 1]), "a permutation"),
    "label twice": (lambda v: v["identity"].update(label_names=["a", "a", "b"]), "distinct"),
    "label a number": (lambda v: v["identity"].update(label_names=["a", "b", 3]), "text"),
    "no labels": (lambda v: v["identity"].update(label_names=[]), "distinct label names"),
    "problem type": (lambda v: v["identity"].update(problem_type="multi_label"), "one of single"),
    "problem type a list": (lambda v: v["identity"].update(problem_type=[]), "one of single"),
    "mask": (lambda v: v["identity"]["mixup"].update(mask="left"), "one of union, heavier"),
    "site": (lambda v: v["identity"]["mixup"].update(site="hidden"), "one of input_embeddings"),
    "logits dtype": (lambda v: v["identity"].update(logits_dtype="float64"), "one of float32"),
    "no length": (lambda v: v["identity"].update(max_length=0), "max_length > 0"),
    "beta zero": (lambda v: v["identity"]["mixup"].update(beta=0.0), "beta > 0"),
    "beta a bool": (lambda v: v["identity"]["mixup"].update(beta=True), "a finite number"),
    "beta a text": (lambda v: v["identity"]["mixup"].update(beta="0.4"), "a finite number"),
    "beta endless": (lambda v: v["identity"]["mixup"].update(beta=10**400), "a finite number"),
    "beta an integer": (lambda v: v["identity"]["mixup"].update(beta=1), "a fraction such as"),
    "seed negative": (lambda v: v["identity"]["mixup"].update(seed=-1), "an integer in"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_no_builder_writes(file: CacheFile, name: str) -> None:
    change, expected = CHANGES[name]
    with pytest.raises(MalformedError, match=rf"^cache\.json: .*{expected}") as found:
        CacheFile.from_bytes(changed(file, change), "cache.json")
    assert len(str(found.value)) < 800


def test_another_fingerprint(file: CacheFile) -> None:
    value = json.loads(file.to_bytes())
    value["fingerprint"] = "0" * 64
    with pytest.raises(MalformedError, match=f"fingerprint {file.identity.fingerprint}"):
        CacheFile.from_bytes(dumps(value), "cache.json")


@pytest.mark.parametrize("version", [2, 10**9])
def test_a_newer_format(file: CacheFile, version: int) -> None:
    data = changed(file, lambda v: v.update(format=version, surprise={}))
    with pytest.raises(VersionError, match=f"found format {version}; upgrade mixkd"):
        CacheFile.from_bytes(data, "cache.json")


def test_a_newer_plan(file: CacheFile) -> None:
    data = changed(file, lambda v: v["identity"]["mixup"].update(plan=2))
    with pytest.raises(VersionError, match="found plan 2; upgrade mixkd"):
        CacheFile.from_bytes(data, "cache.json")


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None, [1]])
def test_no_format(file: CacheFile, version: object) -> None:
    with pytest.raises(CacheError, match="expected format 1"):
        CacheFile.from_bytes(changed(file, lambda v: v.update(format=version)), "cache.json")


@pytest.mark.parametrize("data", [b"[]\n", b"1\n", b"null\n", b'"format"\n'])
def test_no_object(data: bytes) -> None:
    with pytest.raises(CacheError, match="expected format 1"):
        CacheFile.from_bytes(data, "cache.json")
