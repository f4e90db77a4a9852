"""Shards, the unit of work and of trust: columns of rows ⇄ bytes, in one of two formats."""

from typing import Any

from mixkd.shared.cache.codecs import arrow, hdf5
from mixkd.shared.cache.layout import Columns, Layout, check_values, columns_equal

FORMATS: dict[str, Any] = {"arrow": arrow, "hdf5": hdf5}
SUFFIXES = {"arrow": "arrow", "hdf5": "h5"}

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Columns",
    "Layout",
    "check_values",
    "columns_equal",
    "decode",
    "encode",
]


def encode(shard_format: str, layout: Layout, columns: Columns) -> bytes:
    """The bytes of a shard file: the same ones every time for the same columns."""
    data: bytes = FORMATS[shard_format].encode(layout, columns)
    return data


def decode(shard_format: str, layout: Layout, data: bytes, where: object) -> Columns:
    """The columns of a shard file's bytes.

    Raises:
        MalformedError: If the bytes are anything but a shard of this layout, found out before
            anything is decoded or allocated.
    """
    columns: Columns = FORMATS[shard_format].decode(layout, data, where)
    return columns
