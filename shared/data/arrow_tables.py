"""Tables of Arrow and parquet files: columns are decoded one by one, when they are asked for."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared.data.sources import Column, Table
from mixkd.shared.data.text_tables import check_names

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES = b"huggingface"  # what `datasets` notes of its features, in the schema's metadata


def read_parquet(file: Path, descriptor: int) -> Table:
    """Read the names of the columns; each is decoded when it is asked for, by groups of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(pa.BufferReader(_mapped(descriptor)))
    count = rows.metadata.num_rows
    if count < 0:
        raise ValueError(f"a header of {count} rows")
    names = rows.schema_arrow.names
    check_names(file, names)

    def column(name: str) -> Column:
        def read() -> Iterator[pa.Array]:
            for group in range(rows.num_row_groups):
                yield from rows.read_row_group(group, columns=[name])[name].chunks

        return Column(count, read)

    columns = {name: column(name) for name in names}
    return Table(str(file), columns, class_names(rows.schema_arrow))


def read_arrow(file: Path, descriptor: int) -> Table:
    """Read an Arrow IPC file, or a stream, as `datasets` writes it; no value is copied."""
    import pyarrow as pa

    data = _mapped(descriptor)
    try:
        table = pa.ipc.open_file(data).read_all()
    except pa.ArrowInvalid:
        table = pa.ipc.open_stream(data).read_all()
    check_names(file, table.column_names)
    return Table(str(file), columns_of(table), class_names(table.schema))


def columns_of(table: pa.Table) -> dict[str, Column]:
    """Return the columns of a table of Arrow, which are checked when they are asked for."""

    def column(name: str) -> Column:
        return Column(len(table), lambda: table[name].chunks)

    return {name: column(name) for name in table.column_names}


def class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Read the names of classes that `datasets` noted in a schema; none where it did not."""
    try:
        features = json.loads((schema.metadata or {})[FEATURES])["info"]["features"]
        named = {column: _names(feature) for column, feature in features.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
    return {column: names for column, names in named.items() if names}


def _names(feature: Any) -> tuple[str, ...]:
    """Return the names of a class label or of a list of them."""
    if isinstance(feature, dict) and feature.get("_type") in ("Sequence", "List"):
        feature = feature.get("feature")
    names = feature.get("names") if isinstance(feature, dict) else None
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if known and names else ()


def _mapped(descriptor: int) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
