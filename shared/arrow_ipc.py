"""Arrow IPC files of one uncompressed record batch, written plainly and read with suspicion.

A reader of untrusted bytes must know what it would decode before it decodes it. Of the file only
the stream part (schema, one batch) is used; the footer is checked for its frame and never believed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from mixkd.shared.content import Content
from mixkd.shared.errors import UnsafeFileError, malformed_table

MAGIC = b"ARROW1"
START = b"ARROW1\0\0"
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
FOOTER_LIMIT_BYTES = 64 * 1024


def encode_batch(batch: pa.RecordBatch) -> bytes:
    """Return an IPC *file*: a stream cut at a batch boundary would read as complete."""
    sink = pa.BufferOutputStream()
    write_batch(batch, sink)
    return bytes(sink.getvalue())


def write_batch(batch: pa.RecordBatch, sink: Any) -> None:
    """Write an IPC file into a sink, from the batch's own buffers."""
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def content_of(batch: pa.RecordBatch) -> Content:
    """Return the IPC file of a batch as content that is written from the batch's own buffers."""
    return Content.of(lambda sink: write_batch(batch, pa.PythonFile(sink, "w")))


def decode_batch(
    data: Any,
    schemas: Sequence[pa.Schema],
    rows: int,
    where: object,
    body_bytes: int | None = None,
    nulls: bool = False,
) -> pa.RecordBatch:
    """Decode the one record batch of an IPC file, without copying it.

    Args:
        data: A bytes-like object that outlives the batch.
        schemas: The schemas that are allowed, exactly, metadata included.
        rows: The exact number of rows.
        body_bytes: The exact size of the batch's body, where the schema fixes it.
        nulls: Whether values may be missing.

    Raises:
        MalformedError, UnsafeFileError: If the file is anything else.
    """
    source = pa.BufferReader(pa.py_buffer(data))
    try:
        _check_frame(data, where)
        source.seek(len(START))
        found = pa.ipc.read_schema(source)
        if not any(found.equals(schema, check_metadata=True) for schema in schemas):
            raise malformed_table(where, f"the schema {_shown(schemas[0])}", _shown(found))
        batch_start = source.tell()
        message = pa.ipc.read_message(source)
        if message.type != "record batch":
            raise malformed_table(where, "a record batch after the schema", message.type)
        _check_batch(message, rows, body_bytes, where)
        _check_end(data, source.tell(), where)
        source.seek(batch_start)
        batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), found)
        batch.validate(full=True)
    except (
        pa.ArrowException,
        OSError,
        EOFError,
        UnicodeError,
        struct.error,
        IndexError,
    ) as error:
        raise malformed_table(where, "an Arrow IPC file", str(error).split("\n")[0][:120]) from None
    if not nulls and any(_null_count(column) for column in batch.columns):
        raise malformed_table(where, "no nulls", "nulls")
    return batch


def _null_count(column: pa.Array) -> int:
    """Count nulls in a column and in its lists, whose items may be null in any schema."""
    listed = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    return int(column.null_count + (column.values.null_count if listed else 0))


def _check_frame(data: Any, where: object) -> None:
    if bytes(data[: len(START)]) != START or bytes(data[-len(MAGIC) :]) != MAGIC:
        raise malformed_table(where, "an Arrow IPC file", "other bytes at its start or end")


def _check_end(data: Any, stream_end: int, where: object) -> None:
    """Require an end of stream, a footer of the stated size and the magic, and nothing else."""
    tail = memoryview(data)[stream_end:]
    if bytes(tail[: len(END_OF_STREAM)]) != END_OF_STREAM:
        raise malformed_table(where, "one record batch", "more data behind it")
    footer = len(tail) - len(END_OF_STREAM) - 4 - len(MAGIC)
    (stated,) = struct.unpack_from("<i", tail, len(tail) - len(MAGIC) - 4)
    if footer != stated or footer > FOOTER_LIMIT_BYTES:
        raise malformed_table(where, f"a footer of {stated} bytes", f"{footer} bytes")


def _check_batch(message: Any, rows: int, body_bytes: int | None, where: object) -> None:
    """Look into the batch's header (a flatbuffer) without decoding its body."""
    header = bytes(message.metadata)
    batch = _table_field(header, _root(header), 2)
    if batch is None:
        raise malformed_table(where, "a record batch", "an empty header")
    batch = _follow(header, batch)
    length = _table_field(header, batch, 0)
    found_rows = struct.unpack_from("<q", header, length)[0] if length is not None else 0
    if found_rows != rows:
        raise malformed_table(where, f"{rows} rows", f"{found_rows} rows")
    if _table_field(header, batch, 3) is not None:
        raise UnsafeFileError(
            where,
            expected="an uncompressed batch",
            found="compression",
            do="do not use this cache",
        )
    found_bytes = message.body.size if message.body is not None else 0
    if body_bytes is not None and found_bytes != body_bytes:
        raise malformed_table(where, f"a body of {body_bytes} bytes", f"{found_bytes} bytes")


def _root(buffer: bytes) -> int:
    return int(struct.unpack_from("<I", buffer, 0)[0])


def _follow(buffer: bytes, position: int) -> int:
    return position + int(struct.unpack_from("<I", buffer, position)[0])


def _table_field(buffer: bytes, table: int, slot: int) -> int | None:
    """Find the position of a flatbuffer table's field, None where it is absent.

    Layout: https://flatbuffers.dev/internals/ ; the message's tables: Arrow's Message.fbs, where
    Message.header is slot 2, RecordBatch.length slot 0 and RecordBatch.compression slot 3.
    """
    vtable = table - int(struct.unpack_from("<i", buffer, table)[0])
    (size,) = struct.unpack_from("<H", buffer, vtable)
    entry = 4 + 2 * slot
    if entry + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", buffer, vtable + entry)
    return table + offset if offset else None


def _shown(schema: pa.Schema) -> str:
    columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
    metadata = {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in (schema.metadata or {}).items()
    }
    return f"({columns}) {metadata}"[:300]
