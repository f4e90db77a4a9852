"""Take further columns of the data along (`--keep-columns`): flat values of one type each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mixkd.shared.data.sources import Table, readable
from mixkd.shared.data.texts import TEXT_LIMIT_BYTES, strings
from mixkd.shared.errors import DataError
from mixkd.shared.options import check

if TYPE_CHECKING:
    import pyarrow as pa

    from mixkd.shared.data.sources import Chunk

KEEP_OPTION = "--keep-columns"
FLAT = "texts, whole numbers, numbers or truth values"


def check_names(names: Sequence[str]) -> None:
    """Refuse names that a cache cannot have.

    Raises:
        UsageError: Naming the option.
    """
    from mixkd.shared.cache.kept import COLUMNS_LIMIT, TAKEN  # which imports pyarrow

    once = len({*names}) == len(names) <= COLUMNS_LIMIT and all(len(n) <= 200 for n in names)
    do = "name each column once; a cache has texts and labels anyway"
    check(KEEP_OPTION, ",".join(names), once, "different columns", do)
    own = f"none of {', '.join(TAKEN)}, which a cache has of its own"
    check(KEEP_OPTION, ",".join(names), not {*names} & {*TAKEN}, own, "rename the column")


def kept(tables: Mapping[str, Table], names: Sequence[str]) -> dict[str, pa.Table]:
    """Return the columns of each split, of one schema.

    Raises:
        DataError: If a column is missing, or holds anything but flat values of one type.
    """
    import pyarrow as pa

    columns: dict[str, list[pa.ChunkedArray]] = {split: [] for split in tables}
    fields = []
    for name in names:
        arrays = {split: _arrays(table, name) for split, table in tables.items()}
        kind = _common(arrays, name, tables)
        fields.append(pa.field(name, kind))
        for split, table in tables.items():
            do = f"correct the column, or leave it out of {KEEP_OPTION}"
            with readable(f"{table.where}, column {name}", expected=str(kind), do=do):
                cast = [array.cast(kind) for array in arrays[split]]
                if sum(array.nbytes for array in cast) > TEXT_LIMIT_BYTES:
                    raise ValueError(f"more than {TEXT_LIMIT_BYTES} bytes in one column")
                columns[split].append(pa.chunked_array(cast, kind))
    schema = pa.schema(fields)
    return {split: pa.table(found, schema=schema) for split, found in columns.items()}


def _common(
    arrays: Mapping[str, Sequence[pa.Array]], name: str, tables: Mapping[str, Table]
) -> pa.DataType:
    """Find the one type of a column in all splits; whole numbers may be written among others."""
    import pyarrow as pa

    kinds = {array.type for split in arrays.values() for array in split} - {pa.null()}
    if kinds == {pa.int64(), pa.float64()}:
        return pa.float64()
    if len(kinds) > 1:
        raise DataError(
            f"{next(iter(tables.values())).where}, column {name}",
            expected=f"one type in all rows and splits, for {KEEP_OPTION}",
            found=" and ".join(sorted(map(str, kinds))),
            do="write the column as text, or leave it out",
        )
    return next(iter(kinds), pa.utf8())


def _arrays(table: Table, name: str) -> list[pa.Array]:
    arrays = []
    for chunk in table.chunks(name, KEEP_OPTION):
        array = _flat(chunk)
        if array is None:
            kind = "several types" if isinstance(chunk, list) else str(chunk.type)
            raise DataError(
                f"{table.where}, column {name}",
                expected=f"{FLAT}, for {KEEP_OPTION}",
                found=kind[:80],
                do="leave the column out, or write it as text",
            )
        arrays.append(array)
    return arrays


def _flat(chunk: Chunk) -> pa.Array | None:
    """Return a chunk as one of the types that a cache keeps; times become their text."""
    import pyarrow as pa

    if isinstance(chunk, list):
        return pa.nulls(len(chunk)) if {*chunk} == {None} else None
    kind = chunk.type
    if (text := strings(chunk)) is not None:
        return text
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return chunk
    try:
        if pa.types.is_integer(kind):
            return chunk.cast(pa.int64())
        if pa.types.is_floating(kind):
            return chunk.cast(pa.float64())
        if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
            return chunk.cast(pa.utf8())
    except pa.ArrowException:
        return None  # beyond 64 bits, or beyond the calendar
    return None
