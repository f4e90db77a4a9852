"""JSON is written in one spelling per value, and decoded into the declared types or refused."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixkd.shared.errors import MalformedError
from mixkd.shared.json_values import Count, Sha256, Value, decode, dumps, sha256_hex

LIMIT = 2**20
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


class Thing(Value, frozen=True):
    """Something with every type that the format has."""

    count: Count
    number: float
    name: str
    digest: Sha256 = "0" * 64
    table: dict[str, float] = {}  # noqa: RUF012 - a Struct copies it


@settings(derandomize=True, deadline=None, database=None, max_examples=150)
@given(VALUES)
def test_canonical_text_holds_the_value(value: Any) -> None:
    assert json.loads(dumps(value)) == value
    assert dumps(json.loads(dumps(value))) == dumps(value)


def test_the_text() -> None:
    assert (
        dumps({"b": [1, 2.5], "a": "é"}) == '{\n "a": "é",\n "b": [\n  1,\n  2.5\n ]\n}\n'.encode()
    )


def test_keys_are_sorted_as_python_does() -> None:
    keys = ["b", "a", "é", "Z", "\U0001f600"]
    assert list(json.loads(dumps(dict.fromkeys(keys)))) == sorted(keys)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")], "\ud800"])
def test_values_without_a_text(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of two kinds
        dumps(value)


GOOD = b'{"count": 1, "number": 2, "name": "x"}'


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD + b"\n\n",
        b'{"name": "\\u0078", "number": 2.0e0,\r\n"count":1}',
        b'{"count": 7, "number": 2, "name": "x", "count": 1}',  # the last one counts
    ],
)
def test_other_spellings_are_the_same_value(data: bytes) -> None:
    assert decode(data, Thing, "x.json", LIMIT) == Thing(count=1, number=2.0, name="x")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "expected JSON in UTF-8"),
        (b"[]", "expected `object` at `.`, found `array`"),
        (b"null", "expected `object`"),
        (GOOD[:-1], "expected JSON in UTF-8"),
        (GOOD + b"1", "expected JSON in UTF-8"),
        (GOOD.replace(b"1", b"NaN"), "expected JSON in UTF-8"),
        (GOOD.replace(b"2", b"Infinity"), "expected JSON in UTF-8"),
        (GOOD.replace(b"2", b"1e999"), r"valid value at `\$\.number`, found Number out of range"),
        (GOOD.replace(b"2", b"9" * 400), r"valid value at `\$\.number`"),
        (GOOD.replace(b"1", b"9" * 5000), r"valid value at `\$\.count`"),
        (GOOD.replace(b"1", b"1.0"), r"expected `int` at `\$\.count`, found `float`"),
        (GOOD.replace(b"1", b"true"), r"expected `int` at `\$\.count`, found `bool`"),
        (GOOD.replace(b"1", b"-1"), r"expected `int` >= 0 at `\$\.count`"),
        (GOOD.replace(b"1", b"9007199254740993"), r"expected `int` <= 9007199254740992 at"),
        (GOOD.replace(b'"x"', b"3"), r"expected `str` at `\$\.name`, found `int`"),
        (GOOD.replace(b"name", b"nome"), "expected no key `nome` in `.`, found one"),
        (b'{"count": 1, "number": 2}', "expected a key `name` in `.`, found none"),
        (
            GOOD.replace(b"}", b', "digest": "%s\\n"}' % (b"0" * 64)),
            r"matching regex .* at `\$\.dig",
        ),
        (b"\xef\xbb\xbf" + GOOD, "expected JSON in UTF-8"),
        (GOOD.decode().encode("utf-16"), "expected JSON in UTF-8"),
        (GOOD.replace(b"x", b"\xff"), "expected JSON in UTF-8, found UnicodeDecodeError"),
        (GOOD.replace(b"x", b"\\ud800"), "expected JSON in UTF-8"),
        (b"[" * 100_000, "expected `object`"),
        (b'{"a":' * 100_000, "expected no key `a`"),
        (GOOD.replace(b"}", b', "table": ' + b'{"a":' * 100_000), "expected `float`"),
    ],
)
def test_anything_else_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(MalformedError, match=rf"^x\.json: .*{told}") as found:
        decode(data, Thing, "x.json", LIMIT)
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 800


def test_longer_than_allowed() -> None:
    assert decode(GOOD, Thing, "x.json", len(GOOD)).count == 1
    with pytest.raises(MalformedError, match=rf"at most {len(GOOD) - 1} bytes, found {len(GOOD)}"):
        decode(GOOD, Thing, "x.json", len(GOOD) - 1)


@pytest.mark.parametrize("value", [b"[]", b"{}", b"1", b'""', b'{"a":1}'])
def test_hostile_values_do_not_become_objects(value: bytes) -> None:
    data = b"[" + b",".join([value] * 200_000) + b"]"
    for hostile in (data, b'{"count": 1, "number": 2, "x": ' + data + b"}"):
        tracemalloc.start()
        with pytest.raises(MalformedError):
            decode(hostile, Thing, "x.json", 64 * LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < LIMIT


def test_messages_are_one_line() -> None:
    with pytest.raises(MalformedError) as found:
        decode(b'{"\\n\\u001b[31m": 1}', Thing, "x\ny.json", LIMIT)
    assert "\n" not in str(found.value)
    assert "\x1b" not in str(found.value)


def test_sha256() -> None:
    assert sha256_hex(b"a") == sha256_hex(memoryview(b"a")) == hashlib.sha256(b"a").hexdigest()
