"""Files of this version of the format; later ones and those before the release are named."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from mixkd.shared import FORMAT_VERSION
from mixkd.shared.errors import MalformedError, VersionError
from mixkd.shared.json_values import decode, malformed

Kind = TypeVar("Kind")


class _Versioned(msgspec.Struct):
    format: int


class _OldAbout(msgspec.Struct):
    shard_format: msgspec.Raw


class _OldHeader(msgspec.Struct):
    about: _OldAbout


def decode_versioned(data: bytes, kind: type[Kind], where: object, limit_bytes: int) -> Kind:
    """Decode a JSON file of this version of the format.

    Raises:
        VersionError: If the file says that it is of a later version, or of the layout that was
            used before the first release.
        MalformedError: If it is anything else.
    """
    try:
        return decode(data, kind, where, limit_bytes)
    except MalformedError:
        _check_old(data, where)
        raise


def check_version(version: int, where: object) -> None:
    """Refuse a file of a different version of the format.

    Raises:
        VersionError: If the version is a later one.
        MalformedError: If there is no such version.
    """
    if version > FORMAT_VERSION:
        raise newer(where, f"format {version}", f"format {FORMAT_VERSION}")
    if version != FORMAT_VERSION:
        raise malformed(where, f"format {FORMAT_VERSION} at `$.format`", version)


def _check_old(data: bytes, where: object) -> None:
    try:
        check_version(msgspec.json.decode(data, type=_Versioned).format, where)
    except (ValueError, RecursionError):
        return
    try:
        msgspec.json.decode(data, type=_OldHeader)
    except (ValueError, RecursionError):
        return
    raise VersionError(
        where,
        expected=f"the released layout of format {FORMAT_VERSION}",
        found="the layout used before the first release",
        do="build the cache again with another --out",
    )


def newer(where: object, found: str, expected: str) -> VersionError:
    """Return the error for a file of a later version."""
    return VersionError(
        where, expected=expected, found=found[:60], do="upgrade mixkd to read this cache"
    )
