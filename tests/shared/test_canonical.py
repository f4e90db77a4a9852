"""Canonical JSON is one text for one value; every other text is refused by name."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixkd.shared.errors import MalformedError
from mixkd.shared.json_values import BYTES_OF_A_VALUE, dumps, loads, pieces, sha256_hex

LIMIT = 2**20
GOLDENS = Path(__file__).parents[1] / "goldens"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, database=None, max_examples=150)
@given(VALUES)
def test_round_trip(value: Any) -> None:
    data = dumps(value)
    assert loads(data, "x.json", LIMIT) == value
    assert dumps(loads(data, "x.json", LIMIT)) == data


def test_the_text() -> None:
    assert (
        dumps({"b": [1, 2.5], "a": "é"}) == '{\n "a": "é",\n "b": [\n  1,\n  2.5\n ]\n}\n'.encode()
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")], "\ud800"])
def test_values_without_a_text(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of two kinds
        dumps(value)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "JSONDecodeError"),
        (b'{\n "a": 1\n}', "another spelling"),
        (b'{"a": 1}\n', "another spelling"),
        (b'{\n "b": 1,\n "a": 2\n}\n', "another spelling"),
        (b'{\n "a": 1,\n "a": 1\n}\n', "another spelling"),
        (b'{\n "a": 1,\n "a": 2\n}\n', "another spelling"),
        (b"1.50\n", "another spelling"),
        (b"1e2\n", "another spelling"),
        (b"-0\n", "another spelling"),
        (b'"\\u00e9"\n', "another spelling"),
        (b"1\r\n", "another spelling"),
        (b"1\n\n", "another spelling"),
        (b" 1\n", "another spelling"),
        (b"NaN\n", "ValueError"),
        (b"-Infinity\n", "ValueError"),
        (b"1e999\n", "ValueError"),
        (b"\xef\xbb\xbf1\n", "JSONDecodeError"),
        ("1\n".encode("utf-16"), "UnicodeDecodeError"),
        ("1\n".encode("utf-16-le"), "JSONDecodeError"),
        (b'"\xff"\n', "UnicodeDecodeError"),
        (b'"\\ud800"\n', "UnicodeEncodeError"),
        (b"1\n2\n", "JSONDecodeError"),
        (b"'a'\n", "JSONDecodeError"),
        (b"[" * 100_000, "RecursionError"),
        (b"[" * 100_000 + b"]" * 100_000 + b"\n", "RecursionError"),
        (b'{"a":' * 100_000, "RecursionError"),
        (b"1" * 5000 + b"\n", "ValueError"),
        (b"\0\n", "JSONDecodeError"),
    ],
)
def test_other_texts_are_refused(data: bytes, found: str) -> None:
    with pytest.raises(MalformedError, match=rf"x\.json: expected canonical JSON.*found {found}"):
        loads(data, "x.json", LIMIT)


def test_longer_than_allowed() -> None:
    assert loads(dumps([1]), "x.json", 7) == [1]
    with pytest.raises(MalformedError, match="at most 6 bytes, found 7 bytes"):
        loads(dumps([1]), "x.json", 6)


@pytest.mark.parametrize("value", [[], {}, 1, "", {"a": 1}])
def test_many_values_in_few_bytes(value: Any) -> None:
    data = dumps([value] * 200_000)
    with pytest.raises(MalformedError, match=r"x\.json: expected at most \d+ values in \d+ bytes"):
        loads(data, "x.json", 64 * LIMIT)


def test_tables_in_tables_without_a_comma() -> None:
    """Their canonical text would be a thousand times longer; it is never written."""
    data = b"[" + b",".join([b'{"a":' * 900 + b"1" + b"}" * 900] * 140) + b"]\n"
    tracemalloc.start()
    with pytest.raises(MalformedError, match="another spelling"):
        loads(data, "x.json", LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * LIMIT


def test_the_largest_identity_is_not_too_dense() -> None:
    """65,536 classes, the most there may be, with names as short as they can be."""
    names = [f"{k:x}" for k in range(65_536)]
    value = {"identity": {"label_names": names, "teacher": {"columns": list(range(65_536))}}}
    assert loads(dumps(value), "x.json", 64 * LIMIT) == value


@pytest.mark.parametrize("shard_format", ["arrow", "hdf5"])
def test_a_seal_is_not_too_dense(shard_format: str) -> None:
    """However many records it has."""
    data = (GOLDENS / f"format-1-{shard_format}" / "MANIFEST.json").read_bytes()
    values = sum(data.count(begin) for begin in (b",", b"[", b"{"))
    assert len(data) > BYTES_OF_A_VALUE * values


@pytest.mark.parametrize("table", [True, False])
def test_levels(table: bool) -> None:
    value: Any = 1
    for _ in range(100):
        value = {"a": value} if table else [value]
    assert loads(dumps(value), "x.json", LIMIT) == value
    with pytest.raises(MalformedError, match="expected at most 100 levels of values, found more"):
        loads(dumps([value]), "x.json", LIMIT)


def test_pieces_are_the_whole() -> None:
    value = [f"é{k}" for k in range(10_000)]
    assert len(list(pieces(value))) > 2
    assert b"".join(pieces(value)) == dumps(value)
    assert json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n" == dumps(value)


def test_messages_are_one_line() -> None:
    with pytest.raises(MalformedError) as found:
        loads(b'{"\n\x1b[31m": }', "x\ny.json", LIMIT)
    assert "\n" not in str(found.value)
    assert "\x1b" not in str(found.value)


def test_keys_are_sorted_as_python_does() -> None:
    keys = ["b", "a", "é", "Z", "\U0001f600"]
    assert list(json.loads(dumps(dict.fromkeys(keys)))) == sorted(keys)


def test_sha256() -> None:
    assert sha256_hex(b"a") == sha256_hex(memoryview(b"a")) == hashlib.sha256(b"a").hexdigest()
