"""Strict reading of parsed JSON: exact keys, exact types, counts in [0, 2^53]."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from mixkd.shared.errors import MalformedError

COUNT_LIMIT = 2**53
Choice = TypeVar("Choice", bound=str)
SHA256 = re.compile(r"[0-9a-f]{64}")


def table(value: Any, where: object, keys: Iterable[str]) -> dict[str, Any]:
    """`value` as an object with exactly these keys."""
    wanted = sorted(keys)
    if not isinstance(value, dict) or sorted(value) != wanted:
        found = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise wrong(where, f"an object with the keys {', '.join(wanted)}", found)
    return value


def array(value: Any, where: object) -> list[Any]:
    if not isinstance(value, list):
        raise wrong(where, "a list", type(value).__name__)
    return value


def text(value: Any, where: object, pattern: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
        raise wrong(
            where,
            f"text like {pattern.pattern}" if pattern else "text",
            repr(value)[:80],
        )
    return value


def choice(value: Any, where: object, choices: Iterable[Choice]) -> Choice:
    options = list(choices)
    if not isinstance(value, str) or value not in options:
        raise wrong(where, f"one of {', '.join(options)}", repr(value)[:80])
    return options[options.index(value)]


def count(value: Any, where: object) -> int:
    if type(value) is not int or not 0 <= value <= COUNT_LIMIT:
        raise wrong(where, "an integer in [0, 2^53]", repr(value)[:80])
    return value


def number(value: Any, where: object) -> float:
    # Compared, not converted: an integer may be too large for a float.
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise wrong(where, "a finite number", repr(value)[:80])
    return float(value)


def wrong(where: object, expected: str, found: object) -> MalformedError:
    return MalformedError(
        where, expected=expected, found=str(found)[:200], do="run: cache-teacher verify"
    )
