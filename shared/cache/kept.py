"""Columns of the data that a cache carries beside the examples, so that logits can be joined back.

They are flat, in the order of the examples, and decide nothing: neither a student nor the identity
of a cache depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa

from mixkd.shared.arrow_ipc import decode_batch
from mixkd.shared.errors import MalformedError, UsageError
from mixkd.shared.json_values import Value

TypeName = Literal["string", "int64", "float64", "bool"]
TYPES: dict[TypeName, pa.DataType] = {
    "string": pa.utf8(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}
# Columns that a cache has of its own.
TAKEN = ("text_a", "text_b", "label", "input_ids", "token_type_ids", "teacher_logits")
FOLDER = "columns"
COLUMNS_LIMIT = 1000
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class KeptColumn(Value, frozen=True, kw_only=True):
    """Name and type of a column, the same in every split."""

    name: Name
    type: TypeName


KeptColumns = Annotated[tuple[KeptColumn, ...], msgspec.Meta(max_length=COLUMNS_LIMIT)]


def kept_columns(schema: pa.Schema) -> tuple[KeptColumn, ...]:
    """Return names and types as a header has them."""
    names = {type_: name for name, type_ in TYPES.items()}
    return tuple(KeptColumn(name=field.name, type=names[field.type]) for field in schema)


def kept_path(split: str, columns: Sequence[KeptColumn], root: object) -> str:
    """Return the path of a split's columns, relative to the cache.

    Raises:
        UsageError: If there are no columns.
    """
    if not columns:
        raise UsageError(
            root,
            expected="columns of the data beside the examples",
            found="none: it was built without",
            do="build a cache with --keep-columns, or look at examples",
        )
    return f"{FOLDER}/{split}.arrow"


def decode_kept(where: object, data: Any, rows: int, columns: Sequence[KeptColumn]) -> pa.Table:
    """Decode a split's columns from bytes that outlive them; nulls are allowed.

    Raises:
        MalformedError, UnsafeFileError: If the bytes are anything else.
    """
    schema = pa.schema([(column.name, TYPES[column.type]) for column in columns])
    return pa.Table.from_batches([decode_batch(data, [schema], rows, where, nulls=True)])


def check_kept(columns: Sequence[KeptColumn], where: object) -> None:
    """Refuse names that are not distinct, or are those of the cache's own columns.

    Raises:
        MalformedError: Naming them.
    """
    names = [column.name for column in columns]
    if len(set(names)) != len(names) or set(names) & set(TAKEN):
        raise MalformedError(
            where,
            expected=f"distinct columns, none of them {', '.join(TAKEN)}",
            found=", ".join(names)[:200],
            do="do not use this cache; build it again",
        )
