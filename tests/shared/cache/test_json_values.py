"""Any JSON value as a record, a seal, cache.json or a state: refused by name, or exactly itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixkd.shared.cache.header import Header
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.seal import Seal
from mixkd.shared.errors import MixkdError
from mixkd.shared.json_values import sha256_hex
from mixkd.student_train.state import State
from tests.hostile.fuzz_json import at, paths, spelled

GOLDEN = Path(__file__).parents[2] / "goldens" / "format-1-arrow"
RECORD = (GOLDEN / "commits" / "pairs-000000016.json").read_bytes()
GOOD: dict[type, bytes] = {
    Record: RECORD,
    Seal: (GOLDEN / "MANIFEST.json").read_bytes(),
    Header: (GOLDEN / "cache.json").read_bytes(),
    State: State("a" * 64, "b" * 64, 1, 2).to_bytes(),
}
KINDS = list(GOOD)
ODD = [2**53, 2**53 + 1, 2**63, -(2**63), 2**64, 10**308, 10**400, 10**4000, -(10**4000)]
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\ud800", "\x1b[2J", "\u202e", "\r\n", "0" * 64, "train", "pairs", "../x", "x" * 3000]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 50)
    | st.sampled_from(ODD)
    | st.floats()
    | TEXTS
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def accepted(kind: Any, data: bytes) -> bool:
    """Whether it is read; checks that what is read is itself when it was written again."""
    try:
        found = kind.from_bytes(data, "x.json")
    except MixkdError as error:
        text = str(error)
    else:
        assert kind.from_bytes(found.to_bytes(), "x.json") == found
        return True
    assert text.isprintable()
    assert len(text) < 2000
    return False


def signed(kind: type, value: Any) -> bytes:
    """The bytes of a value whose own digest, where it has one, is right."""
    if kind is Header and isinstance(value, dict) and "identity" in value:
        value = {**value, "fingerprint": sha256_hex(spelled(value["identity"]))}
    return spelled(value)


def check(count: int) -> Callable[[Any], Any]:
    return settings(derandomize=True, database=None, deadline=None, max_examples=count)


@pytest.mark.parametrize("kind", KINDS)
def test_good(kind: type) -> None:
    assert accepted(kind, GOOD[kind])
    assert signed(kind, json.loads(GOOD[kind])) == GOOD[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_any_value(kind: type) -> None:
    keys = list(json.loads(GOOD[kind]))

    @check(200)
    @given(VALUES | st.fixed_dictionaries(dict.fromkeys(keys, VALUES)), st.booleans())
    def read(value: Any, has_format: bool) -> None:
        if has_format and isinstance(value, dict) and "format" in keys:
            value["format"] = 1
        assert not accepted(kind, signed(kind, value))

    read()


@pytest.mark.parametrize("kind", KINDS)
def test_near_misses(kind: type) -> None:
    """One value of a good file replaced by any value, its digest made right."""
    places = [path for path in paths(json.loads(GOOD[kind])) if path]
    ends = {True: 0, False: 0}

    @check(600)
    @given(st.sampled_from(places), VALUES, st.booleans())
    def read(path: tuple[Any, ...], new: Any, sign: bool) -> None:
        value = json.loads(GOOD[kind])
        at(value, path[:-1])[path[-1]] = new
        ends[accepted(kind, signed(kind, value) if sign else spelled(value))] += 1

    read()
    assert ends[False] > 200
    assert ends[True] > 0, "not even another made, about, epoch or score was read"


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_other_files(kind: type) -> None:
    """One value replaced by a value of the same file, or of another kind's: of a likely type."""
    places = [path for path in paths(json.loads(GOOD[kind])) if path]
    parts = [
        at(json.loads(data), path) for data in GOOD.values() for path in paths(json.loads(data))
    ]

    @check(400)
    @given(st.sampled_from(places), st.sampled_from(parts))
    def read(path: tuple[Any, ...], new: Any) -> None:
        value = json.loads(GOOD[kind])
        at(value, path[:-1])[path[-1]] = new
        accepted(kind, signed(kind, value))

    read()
