"""Canonical JSON: one text for one value, so that bytes can be compared and digested.

UTF-8, sorted keys, indent 1, no NaN, a final newline. `loads` accepts nothing but canonical text.

A parsed value takes far more memory than its text: an empty list of 3 bytes becomes one of 64. So
before anything is parsed the values are counted, from above, by the characters that begin one. A
record of a seal has 30 bytes a value, a covered file 34. The fixed allowance is for an identity of
65,536 classes, whose label names and columns may take 10 bytes each. The densest 64 MiB that pass,
one table of different keys and a text outside the basic plane, take 0.9 GB and 4 seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from mixkd.shared.errors import MalformedError

VALUES_ALLOWED = 2**17
BYTES_OF_A_VALUE = 24
LEVELS_LIMIT = 100
TEXTS_OF_A_PIECE = 4096
ENCODER = json.JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)


def sha256_hex(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def pieces(value: Any) -> Iterator[bytes]:
    """The canonical bytes of a JSON value, some thousand values at a time.

    Raises:
        ValueError: On NaN, infinity or text that is not Unicode.
    """
    texts = ENCODER.iterencode(value)
    while text := "".join(islice(texts, TEXTS_OF_A_PIECE)):
        yield text.encode()
    yield b"\n"


def dumps(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises:
        ValueError: On NaN, infinity or text that is not Unicode.
    """
    return b"".join(pieces(value))


def loads(data: bytes, where: object, limit_bytes: int) -> Any:
    """The value of canonical JSON bytes from a file that may be hostile.

    Raises:
        MalformedError: If the data are longer than `limit_bytes`, of too many or too deep values,
            no JSON, or JSON that is not canonical, such as duplicate keys.
    """
    if len(data) > limit_bytes:
        raise MalformedError(
            where,
            expected=f"at most {limit_bytes} bytes",
            found=f"{len(data)} bytes",
            do="get the file again from where the cache was made",
        )
    _check_density(data, where)
    try:
        value = json.loads(data.decode())
        canonical = _is_canonical(value, data)
    except (ValueError, RecursionError) as error:
        raise _not_canonical(where, f"{type(error).__name__}: {str(error)[:80]}") from None
    if not canonical:
        raise _not_canonical(where, "another spelling of its value")
    return value


def _is_canonical(value: Any, data: bytes) -> bool:
    """Compared piece by piece: the canonical text of nested values may be a thousand times longer
    than a text without indentation."""
    place = 0
    for piece in pieces(value):
        if not data.startswith(piece, place):
            return False
        place += len(piece)
    return place == len(data)


def _check_density(data: bytes, where: object) -> None:
    """Bound what parsing may allocate, and how deep a function that walks the value must go."""
    # Text may hold these characters too: prose has a comma in 60 bytes.
    values = sum(data.count(begin) for begin in (b",", b"[", b"{"))
    allowed = VALUES_ALLOWED + len(data) // BYTES_OF_A_VALUE
    if values > allowed:
        raise _malformed(where, f"at most {allowed} values in {len(data)} bytes", f"{values}")
    # Canonical text shows its depth: what is inside of n others is on a line behind n spaces.
    if b"\n" + b" " * (LEVELS_LIMIT + 1) in data:
        raise _malformed(where, f"at most {LEVELS_LIMIT} levels of values", "more")


def _not_canonical(where: object, found: str) -> MalformedError:
    return _malformed(where, "canonical JSON (UTF-8, sorted keys, indent 1, final newline)", found)


def _malformed(where: object, expected: str, found: str) -> MalformedError:
    return MalformedError(
        where,
        expected=expected,
        found=found,
        do="get the file again from where the cache was made, or run: cache-teacher verify",
    )
