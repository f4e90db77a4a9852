"""Canonical JSON: one text for one value, so that bytes can be compared and digested.

UTF-8, sorted keys, indent 1, no NaN, a final newline. `loads` accepts nothing but canonical text.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from shared.errors import MalformedError


def sha256_hex(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def dumps(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises:
        ValueError: On NaN, infinity or text that is not Unicode.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def loads(data: bytes, where: object, limit_bytes: int) -> Any:
    """The value of canonical JSON bytes from a file that may be hostile.

    Raises:
        MalformedError: If the data are longer than `limit_bytes`, no JSON, or JSON that is not
            canonical, such as duplicate keys.
    """
    if len(data) > limit_bytes:
        raise MalformedError(
            where,
            expected=f"at most {limit_bytes} bytes",
            found=f"{len(data)} bytes",
            do="get the file again from where the cache was made",
        )
    try:
        value = json.loads(data.decode())
        canonical = dumps(value) == data
    except (ValueError, RecursionError) as error:
        raise _not_canonical(where, f"{type(error).__name__}: {str(error)[:80]}") from None
    if not canonical:
        raise _not_canonical(where, "another spelling of its value")
    return value


def _not_canonical(where: object, found: str) -> MalformedError:
    return MalformedError(
        where,
        expected="canonical JSON (UTF-8, sorted keys, indent 1, final newline)",
        found=found,
        do="get the file again from where the cache was made, or run: cache-teacher verify",
    )
