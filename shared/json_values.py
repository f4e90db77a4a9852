"""JSON files as typed values: decoded strictly, written canonically.

A hostile file must not become objects first: msgspec decodes straight into the declared types and
refuses unknown keys, other types, numbers out of range and text that is not UTF-8 while it does so.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, TypeVar

import msgspec

from mixkd.shared.errors import MalformedError, short

COUNT_LIMIT = 2**53
Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_LIMIT)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Kind = TypeVar("Kind")
REMEDY = "get the file again from where the cache was made, or run: cache-teacher verify"


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object with exactly these keys."""


def sha256_hex(data: bytes | memoryview) -> str:
    """Return the sha256 of bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def dumps(value: Any) -> bytes:
    """Return the canonical bytes of a value: UTF-8, sorted keys, indent 1, a final newline.

    Raises:
        ValueError: On NaN, infinity or text that is not Unicode.
    """
    plain = msgspec.to_builtins(value)
    text = json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def decode(data: bytes, kind: type[Kind], where: object, limit_bytes: int) -> Kind:
    """Return the value of a JSON file that may be hostile.

    Raises:
        MalformedError: If it is too long, not JSON, or anything but a `kind`.
    """
    if len(data) > limit_bytes:
        raise malformed(where, f"at most {limit_bytes} bytes", f"{len(data)} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise malformed(where, *_expected_and_found(short(str(error)))) from None
    except (ValueError, RecursionError) as error:  # DecodeError is a ValueError
        raise malformed(where, "JSON in UTF-8", f"{type(error).__name__}: {error}") from None


def _expected_and_found(text: str) -> tuple[str, str]:
    """Split msgspec's message: what was expected where, and what was found."""
    text, _, place = text.partition(" - at ")
    place = place or "`$`"
    expected, _, found = text.partition(", got ")
    if found:
        return f"{expected.removeprefix('Expected ')} at {place}", found
    for begin, wanted, actual in (
        ("Object contains unknown field ", "no key {} in {}", "one"),
        ("Object missing required field ", "a key {} in {}", "none"),
        ("Invalid enum value ", "a known value instead of {} at {}", "an unknown one"),
        ("Expected ", "{} at {}", "a different value"),
    ):
        if text.startswith(begin):
            return wanted.format(text.removeprefix(begin), place), actual
    return f"a valid value at {place}", text


def malformed(where: object, expected: object, found: object) -> MalformedError:
    """Return the error for a file whose content does not follow the format."""
    return MalformedError(where, expected=expected, found=str(found)[:200], do=REMEDY)
