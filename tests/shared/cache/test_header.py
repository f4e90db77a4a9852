"""`cache.json` is read strictly: exact keys, exact types, no contradictions, no other version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mixkd.shared.cache.header import Draft, Header, Identity
from mixkd.shared.errors import MalformedError, MixkdError, UsageError, VersionError
from mixkd.shared.json_values import dumps, sha256_hex
from tests.numpy_caches import job


@pytest.fixture
def file() -> Header:
    return Header.of(job(Path("unused"), classes=3).draft, ())


def changed(file: Header, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The file with a change to its JSON and the fingerprint that belongs to it."""
    value = json.loads(file.to_bytes())
    change(value)
    if isinstance(value.get("identity"), dict):
        value["fingerprint"] = sha256_hex(dumps(value["identity"]))
    return dumps(value)


def test_round_trip(file: Header) -> None:
    assert Header.from_bytes(file.to_bytes(), "cache.json") == file
    assert file.identity.n_originals == 42
    assert file.identity.n_train == 30
    assert file.identity.classes == 3


def test_regression_has_one_logit() -> None:
    assert job(Path("unused"), classes=1).identity.classes == 1


def test_every_field_is_part_of_the_fingerprint(file: Header) -> None:
    identity = file.identity
    split = replace(identity.splits[1], ids_sha256="0" * 64)
    others: dict[str, Any] = {
        "problem_type": "regression",
        "label_names": ("b", "a", "c"),
        "splits": (identity.splits[0], split),
        "teacher": replace(identity.teacher, sha256="2" * 64),
        "max_length": 13,
        "mixup": replace(identity.mixup, beta=0.5),
        "logits_dtype": "float16",
    }
    assert tuple(others) == Identity.__struct_fields__
    made = [replace(identity, **{name: value}) for name, value in others.items()]
    made += [
        replace(identity, mixup=replace(identity.mixup, mask="heavier")),
        replace(identity, mixup=replace(identity.mixup, seed=1)),
        replace(identity, teacher=replace(identity.teacher, columns=(1, 0, 2))),
    ]
    assert len({other.fingerprint for other in [identity, *made]}) == len(made) + 1
    assert all(len(identity.differences(other)) >= 1 for other in made)


def test_differences_name_both_sides(file: Header) -> None:
    other = replace(
        file.identity,
        mixup=replace(file.identity.mixup, beta=0.5),
        teacher=replace(file.identity.teacher, sha256="2" * 64),
    )
    assert file.identity.differences(other) == [
        "mixup.beta 0.4 (there: 0.5)",
        "teacher.sha256 111111111111 (there: 222222222222)",
    ]
    assert file.identity.differences(file.identity) == []


def test_the_layout_before_the_first_release(file: Header) -> None:
    """Its header had no digests, and kept the format of shards in its free text."""
    value = json.loads(file.to_bytes())
    value["about"] = {"task": "x", "shard_format": value.pop("shard_format")}
    del value["files"], value["metric"], value["identity"]["mixup"]["partners"]
    with pytest.raises(VersionError, match=r"used before the first release; build the cache again"):
        Header.from_bytes(dumps(value), "cache.json")


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown key": (lambda v: v.update(extra=1), r"no key `extra` in `\$`"),
    "missing key": (lambda v: v.pop("shard_rows"), r"a key `shard_rows` in `\$`"),
    "unknown identity key": (
        lambda v: v["identity"].update(extra=1),
        r"no key `extra` in `\$\.identity`",
    ),
    "unknown mixup key": (
        lambda v: v["identity"]["mixup"].update(x=1),
        r"no key `x` in `\$\.identity\.mixup`",
    ),
    "unknown split key": (
        lambda v: v["identity"]["splits"][0].update(x=1),
        r"no key `x` in `\$\.identity\.splits\[0\]`",
    ),
    "identity a list": (lambda v: v.update(identity=[]), r"at `\$\.identity`"),
    "about a list": (lambda v: v.update(about=[]), r"at `\$\.about`"),
    "no shard rows": (lambda v: v.update(shard_rows=0), r"at `\$\.shard_rows`"),
    "bool shard rows": (lambda v: v.update(shard_rows=True), r"at `\$\.shard_rows`"),
    "float shard rows": (lambda v: v.update(shard_rows=16.0), r"at `\$\.shard_rows`"),
    "negative rows": (
        lambda v: v["identity"]["splits"][0].update(rows=-1),
        r"at `\$\.identity\.splits\[0\]\.rows`",
    ),
    "bool rows": (
        lambda v: v["identity"]["splits"][1].update(rows=True),
        r"at `\$\.identity\.splits\[1\]\.rows`",
    ),
    "huge rows": (
        lambda v: v["identity"]["splits"][1].update(rows=2**53 + 1),
        r"at `\$\.identity\.splits\[1\]\.rows`",
    ),
    "no rows": (
        lambda v: v["identity"]["splits"][1].update(rows=0),
        r"at `\$\.identity\.splits\[1\]\.rows`",
    ),
    "many train rows": (
        lambda v: v["identity"]["splits"][0].update(rows=2**40),
        "two train examples, at most",
    ),
    "a huge fact": (lambda v: v["about"].update(a=10**400), r"`int` <= 9007199254740992 at"),
    "no fact": (lambda v: v["about"].update(a=None), r"at `\$\.about"),
    "a list of facts": (lambda v: v["about"].update(a=[1]), r"at `\$\.about"),
    "a nested fact": (lambda v: v["about"].update(a={"b": 1}), r"at `\$\.about"),
    "a long fact": (lambda v: v["about"].update(a="x" * 10_001), r"of length <= 10000"),
    "many facts": (lambda v: v["about"].update((str(n), n) for n in range(1001)), "<= 1000"),
    "an unknown metric": (lambda v: v.update(metric="bleu"), "metric accuracy or macro_f1 or"),
    "a metric of another problem": (lambda v: v.update(metric="pearson"), "metric accuracy or"),
    "a number for a metric": (lambda v: v.update(metric=3), r"at `\$\.metric`"),
    "many splits": (
        lambda v: v["identity"]["splits"].extend(
            {**v["identity"]["splits"][1], "name": f"s{k}"} for k in range(127)
        ),
        "of length <= 127",
    ),
    "more labels than rows": (
        lambda v: v["identity"]["splits"][0].update(labelled=31),
        "train with at most 30 labelled rows, found 31",
    ),
    "validation without a label": (
        lambda v: v["identity"]["splits"][1].update(labelled=11),
        "validation with 12 labelled rows, found 11",
    ),
    "one train row": (
        lambda v: v["identity"]["splits"][0].update(rows=1, labelled=1),
        "two train examples",
    ),
    "train missing": (lambda v: v["identity"]["splits"].pop(0), "splits train and"),
    "train alone": (lambda v: v["identity"]["splits"].pop(1), "splits train and"),
    "train twice": (lambda v: v["identity"]["splits"][1].update(name="train"), "each once"),
    "path as split": (
        lambda v: v["identity"]["splits"][1].update(name="../x"),
        r"at `\$\.identity\.splits\[1\]\.name`",
    ),
    "split in capitals": (
        lambda v: v["identity"]["splits"][1].update(name="Dev"),
        r"at `\$\.identity\.splits\[1\]\.name`",
    ),
    "short digest": (
        lambda v: v["identity"]["teacher"].update(sha256="1" * 63),
        r"at `\$\.identity\.teacher\.sha256`",
    ),
    "digest in capitals": (
        lambda v: v["identity"]["teacher"].update(sha256="A" * 64),
        r"at `\$\.identity\.teacher\.sha256`",
    ),
    "digest and newline": (
        lambda v: v["identity"]["teacher"].update(sha256="1" * 64 + "\n"),
        r"at `\$\.identity\.teacher\.sha256`",
    ),
    "columns": (lambda v: v["identity"]["teacher"].update(columns=[0, 1, 1]), "a permutation"),
    "column missing": (lambda v: v["identity"]["teacher"].update(columns=[0, 1]), "a permutation"),
    "label twice": (lambda v: v["identity"].update(label_names=["a", "a", "b"]), "distinct"),
    "label a number": (
        lambda v: v["identity"].update(label_names=["a", "b", 3]),
        r"at `\$\.identity\.label_names\[2\]`",
    ),
    "no labels": (lambda v: v["identity"].update(label_names=[]), "distinct label names"),
    "problem type": (
        lambda v: v["identity"].update(problem_type="multi_label"),
        r"at `\$\.identity\.problem_type`",
    ),
    "problem type a list": (
        lambda v: v["identity"].update(problem_type=[]),
        r"at `\$\.identity\.problem_type`",
    ),
    "mask": (
        lambda v: v["identity"]["mixup"].update(mask="left"),
        r"at `\$\.identity\.mixup\.mask`",
    ),
    "site": (
        lambda v: v["identity"]["mixup"].update(site="hidden"),
        r"at `\$\.identity\.mixup\.site`",
    ),
    "teacher's source": (
        lambda v: v["identity"]["teacher"].update(source="people"),
        r"at `\$\.identity\.teacher\.source`",
    ),
    "logits dtype": (
        lambda v: v["identity"].update(logits_dtype="float64"),
        r"at `\$\.identity\.logits_dtype`",
    ),
    "no length": (lambda v: v["identity"].update(max_length=0), r"at `\$\.identity\.max_length`"),
    "beta zero": (lambda v: v["identity"]["mixup"].update(beta=0.0), "beta > 0"),
    "beta a bool": (
        lambda v: v["identity"]["mixup"].update(beta=True),
        r"at `\$\.identity\.mixup\.beta`",
    ),
    "beta a text": (
        lambda v: v["identity"]["mixup"].update(beta="0.4"),
        r"at `\$\.identity\.mixup\.beta`",
    ),
    "beta endless": (
        lambda v: v["identity"]["mixup"].update(beta=10**400),
        r"at `\$\.identity\.mixup\.beta`",
    ),
    "beta an integer": (
        lambda v: v["identity"]["mixup"].update(beta=1),
        r"fingerprint [0-9a-f]{64}, found [0-9a-f]{64}",
    ),
    "seed negative": (
        lambda v: v["identity"]["mixup"].update(seed=-1),
        r"at `\$\.identity\.mixup\.seed`",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_no_builder_writes(file: Header, name: str) -> None:
    change, expected = CHANGES[name]
    with pytest.raises(MalformedError, match=rf"^cache\.json: .*{expected}") as found:
        Header.from_bytes(changed(file, change), "cache.json")
    assert len(str(found.value)) < 800


def test_another_fingerprint(file: Header) -> None:
    value = json.loads(file.to_bytes())
    value["fingerprint"] = "0" * 64
    with pytest.raises(MalformedError, match=f"fingerprint {file.identity.fingerprint}"):
        Header.from_bytes(dumps(value), "cache.json")


@pytest.mark.parametrize("version", [2, 10**9])
def test_a_newer_format(file: Header, version: int) -> None:
    data = changed(file, lambda v: v.update(format=version, surprise={}))
    with pytest.raises(VersionError, match=f"found format {version}; upgrade mixkd"):
        Header.from_bytes(data, "cache.json")


def test_a_newer_plan(file: Header) -> None:
    data = changed(file, lambda v: v["identity"]["mixup"].update(plan=2))
    with pytest.raises(VersionError, match="found plan 2; upgrade mixkd"):
        Header.from_bytes(data, "cache.json")


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None, [1]])
def test_no_format(file: Header, version: object) -> None:
    with pytest.raises(MixkdError, match=r"at `\$\.format`|expected `object` at `\$`"):
        Header.from_bytes(changed(file, lambda v: v.update(format=version)), "cache.json")


@pytest.mark.parametrize("data", [b"[]\n", b"1\n", b"null\n", b'"format"\n'])
def test_no_object(data: bytes) -> None:
    with pytest.raises(MixkdError, match=r"at `\$\.format`|expected `object` at `\$`"):
        Header.from_bytes(data, "cache.json")


def draft(tmp_path: Path, classes: int = 2, **changes: Any) -> Draft:
    return job(tmp_path, classes=classes, train=4, **changes).draft


@pytest.mark.parametrize(
    ("changes", "pairs", "match"),
    [
        ({"seed": 2**53 + 1}, 40, r"<= 9007199254740992 at `\$\.identity\.mixup\.seed`"),
        ({"max_length": 2**60}, 40, r"`\$\.identity\.max_length`"),
        ({"shard_rows": 2**54}, 40, r"`\$\.shard_rows`"),
        ({"beta": float("nan")}, 40, "numbers and texts that JSON has"),
        ({"label_names": ("a", "a")}, 40, "distinct label names"),
        ({"label_names": ("\ud800", "b")}, 40, "numbers and texts that JSON has"),
        ({"label_names": ("a", "b" * 2**24)}, 40, "at most 16777216 bytes"),
        ({"metric": "bleu"}, 40, "metric accuracy or"),
        ({"about": {"a": "x" * 10_001}}, 40, "length <= 10000"),
        ({"shard_rows": 2**26}, 2**26, "--shard-rows: expected shards of at most 1073741824 byt"),
        ({"shard_rows": 16}, 2**21, "--pairs: expected at most 1048560 pairs, since a seal lists"),
        ({"shard_rows": 1}, 2**60, "--pairs: expected at most 65520 pairs"),
    ],
)
def test_what_no_reader_takes_is_not_begun(
    tmp_path: Path, changes: dict[str, Any], pairs: int, match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        draft(tmp_path, **changes).check(tmp_path, pairs)


def test_the_largest_shards_are_begun(tmp_path: Path) -> None:
    """As many rows as are advised are accepted, and one more is not."""
    with pytest.raises(UsageError, match="choose at most (.*)") as found:
        draft(tmp_path, shard_rows=2**26).check(tmp_path, 2**26)
    most = int(found.value.do.rpartition(" ")[2])
    draft(tmp_path, shard_rows=most).check(tmp_path, 2**26)
    with pytest.raises(UsageError):
        draft(tmp_path, shard_rows=most + 1).check(tmp_path, 2**26)


def test_many_classes_need_smaller_shards(tmp_path: Path) -> None:
    wide = draft(tmp_path, classes=65_536, shard_rows=4096)
    wide.check(tmp_path, 100)
    with pytest.raises(UsageError, match="--shard-rows: .*; choose at most 4095"):
        wide.check(tmp_path, 50_000)
