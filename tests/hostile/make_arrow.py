"""Hostile caches by Arrow files with valid digests; see `tests/hostile/make.py`."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixkd.shared.cache.reader import Cache
from tests.hostile.registry import hostile, register_as
from tests.hostile.sign import sign

UNSAFE, MALFORMED, LOGITS = "UnsafeFileError", "MalformedError", "LogitsError"
ROWS_OF_A_BOMB = 8 * 2**20


def put(root: Path, change: Callable[[pa.RecordBatch], pa.RecordBatch], **options: Any) -> None:
    """The first shard of pairs with another batch, or written with other options."""
    name = Cache.open(root).pair_records[0].file
    batch = pa.ipc.open_file(root / name).get_batch(0)
    sign(root, {name: ipc(change(batch), **options)})


def put_bytes(root: Path, change: Callable[[bytes], bytes]) -> None:
    name = Cache.open(root).pair_records[0].file
    sign(root, {name: change((root / name).read_bytes())})


def ipc(batch: pa.RecordBatch, copies: int = 1, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    settings = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_file(sink, batch.schema, options=settings) as writer:
        for _ in range(copies):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def same(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """The batch with one column's values, and its type, changed."""
    index = batch.schema.get_field_index(name)
    field = pa.field(name, values.type, nullable=batch.schema.field(name).nullable)
    schema = batch.schema.set(index, field)
    columns = [values if k == index else c for k, c in enumerate(batch.columns)]
    return pa.record_batch(columns, schema=schema)


# What a batch declares, and what its body is.


@hostile("arrow", UNSAFE)
def compressed_shard(root: Path, bait: Path) -> None:
    put(root, same, compression="zstd")


@hostile("arrow", UNSAFE)
def compressed_shard_lz4(root: Path, bait: Path) -> None:
    put(root, same, compression="lz4")


@hostile("arrow", UNSAFE, MALFORMED)
def zstd_bomb(root: Path, bait: Path) -> None:
    """A few kilobytes that expand to 200 MB."""

    def bomb(batch: pa.RecordBatch) -> pa.RecordBatch:
        zeros = {
            "left": np.zeros(ROWS_OF_A_BOMB, np.uint32),
            "right": np.zeros(ROWS_OF_A_BOMB, np.uint32),
            "lam": np.zeros(ROWS_OF_A_BOMB, np.float32),
        }
        flat = pa.array(np.zeros(3 * ROWS_OF_A_BOMB, np.float32))
        logits = pa.FixedSizeListArray.from_arrays(flat, type=batch.schema.field("logits").type)
        return pa.record_batch([*map(pa.array, zeros.values()), logits], schema=batch.schema)

    put(root, bomb, compression="zstd")


@hostile("arrow", MALFORMED)
def two_batches(root: Path, bait: Path) -> None:
    put(root, same, copies=2)


@hostile("arrow", MALFORMED)
def no_batch(root: Path, bait: Path) -> None:
    put(root, same, copies=0)


@hostile("arrow", MALFORMED)
def fewer_rows(root: Path, bait: Path) -> None:
    put(root, lambda batch: batch.slice(0, batch.num_rows - 1))


@hostile("arrow", MALFORMED)
def stream_instead_of_file(root: Path, bait: Path) -> None:
    def stream(data: bytes) -> bytes:
        batch = pa.ipc.open_file(pa.py_buffer(data)).get_batch(0)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return bytes(sink.getvalue())

    put_bytes(root, stream)


def lengths_lie(data: bytes, old: int, new: int) -> bytes:
    """Every 64-bit number `old` in the message headers replaced."""
    return data.replace(struct.pack("<q", old), struct.pack("<q", new))


@hostile("arrow", MALFORMED)
def body_declared_huge(root: Path, bait: Path) -> None:
    put_bytes(root, lambda data: lengths_lie(data, 16 * 24, 2**60))


@hostile("arrow", MALFORMED)
def rows_declared_huge(root: Path, bait: Path) -> None:
    put_bytes(root, lambda data: lengths_lie(data, 16, 2**60))


@hostile("arrow", MALFORMED)
def rows_declared_negative(root: Path, bait: Path) -> None:
    put_bytes(root, lambda data: lengths_lie(data, 16, -1))


@hostile("arrow", MALFORMED)
def header_declared_huge(root: Path, bait: Path) -> None:
    """The length in front of the schema message, which is at byte 8."""
    put_bytes(root, lambda data: data[:12] + struct.pack("<i", 2**31 - 1) + data[16:])


@hostile("arrow", MALFORMED)
def header_declared_negative(root: Path, bait: Path) -> None:
    put_bytes(root, lambda data: data[:12] + struct.pack("<i", -8) + data[16:])


@hostile("arrow", MALFORMED)
def footer_declared_huge(root: Path, bait: Path) -> None:
    put_bytes(root, lambda data: data[:-10] + struct.pack("<i", 2**31 - 1) + data[-6:])


# Other types than the schema's.


@hostile("arrow", MALFORMED)
def extra_column(root: Path, bait: Path) -> None:
    put(root, lambda b: b.append_column("extra", pa.array(np.zeros(b.num_rows, np.int8))))


@hostile("arrow", MALFORMED)
def missing_column(root: Path, bait: Path) -> None:
    put(root, lambda batch: batch.drop_columns(["lam"]))


@hostile("arrow", MALFORMED)
def renamed_column(root: Path, bait: Path) -> None:
    put(root, lambda batch: batch.rename_columns(["left", "right", "lambda", "logits"]))


@hostile("arrow", MALFORMED)
def reordered_columns(root: Path, bait: Path) -> None:
    put(root, lambda batch: batch.select(["right", "left", "lam", "logits"]))


@hostile("arrow", MALFORMED)
def wider_numbers(root: Path, bait: Path) -> None:
    put(root, lambda batch: column(batch, "lam", batch.column("lam").cast(pa.float64())))


@hostile("arrow", MALFORMED)
def nullable_numbers(root: Path, bait: Path) -> None:
    def nulls(batch: pa.RecordBatch) -> pa.RecordBatch:
        fields = [field.with_nullable(True) for field in batch.schema]
        lam = pa.array([None] * batch.num_rows, pa.float32())
        schema = pa.schema(fields, metadata=batch.schema.metadata)
        return pa.record_batch([*batch.columns[:2], lam, batch.columns[3]], schema=schema)

    put(root, nulls)


@hostile("arrow", MALFORMED)
def nulls_in_the_schema_as_it_should_be(root: Path, bait: Path) -> None:
    """A field that is said to hold none, and a column that does."""

    def nulls(batch: pa.RecordBatch) -> pa.RecordBatch:
        lam = pa.array([None, *[0.5] * (batch.num_rows - 1)], pa.float32())
        columns = [*batch.columns[:2], lam, batch.columns[3]]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    put(root, nulls)


@hostile("arrow", MALFORMED)
def dictionary(root: Path, bait: Path) -> None:
    put(root, lambda batch: column(batch, "lam", batch.column("lam").dictionary_encode()))


@hostile("arrow", MALFORMED)
def other_width_of_logits(root: Path, bait: Path) -> None:
    def wide(batch: pa.RecordBatch) -> pa.RecordBatch:
        flat = pa.array(np.zeros(4 * batch.num_rows, np.float32))
        return column(batch, "logits", pa.FixedSizeListArray.from_arrays(flat, 4))

    put(root, wide)


@hostile("arrow", MALFORMED)
def string_views(root: Path, bait: Path) -> None:
    put(root, lambda b: column(b, "lam", pa.array(["x" * 40] * b.num_rows, pa.string_view())))


@hostile("arrow", MALFORMED)
def extension_type_with_a_pickle(root: Path, bait: Path) -> None:
    """pyarrow once unpickled this metadata; the pickle would write a file."""
    payload = pickle.dumps(Writes(str(bait.parent / "written")))
    marks = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": payload}

    def extend(batch: pa.RecordBatch) -> pa.RecordBatch:
        field = batch.schema.field("lam").with_metadata(marks)
        return pa.record_batch(batch.columns, schema=batch.schema.set(2, field))

    put(root, extend)


class Writes:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (open, (self.path, "w"))


@hostile("arrow", MALFORMED)
def extra_metadata(root: Path, bait: Path) -> None:
    put(root, lambda b: b.replace_schema_metadata({**b.schema.metadata, b"pandas": b"{" * 10_000}))


@hostile("arrow", MALFORMED)
def metadata_that_is_no_text(root: Path, bait: Path) -> None:
    put(root, lambda batch: batch.replace_schema_metadata({b"\xff\xfe": b"\xff\xfe"}))


# Other files.


def as_zip(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("shard.arrow", data)
    return file.getvalue()


def as_tar(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("shard.arrow"))
    return file.getvalue()


def as_npz(data: bytes) -> bytes:
    file = io.BytesIO()
    np.savez(file, left=np.zeros(100))
    return file.getvalue()


def as_parquet(data: bytes) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.ipc.open_file(pa.py_buffer(data)).read_all(), file)
    return file.getvalue()


def between_batch_and_footer(data: bytes) -> bytes:
    (footer,) = struct.unpack_from("<i", data, len(data) - 10)
    place = len(data) - 10 - footer
    return data[:place] + as_zip(b"x") + data[place:]


def before_the_batch(data: bytes) -> bytes:
    return data[:8] + as_zip(b"x").ljust(256, b"\0") + data[8:]


FILES: dict[str, Callable[[bytes], bytes]] = {
    "zip": as_zip,
    "tar": as_tar,
    "npz": as_npz,
    "parquet": as_parquet,
    "pickle": lambda data: pickle.dumps({"rows": data}),
    "hdf5": lambda data: b"\x89HDF\r\n\x1a\n" + data[8:],
    "zip_appended": lambda data: data + as_zip(b"x"),
    "zip_before_the_magic": lambda data: data[:-6] + as_zip(b"x") + data[-6:],
    "zip_between_batch_and_footer": between_batch_and_footer,
    "zip_before_the_batch": before_the_batch,
    "zip_in_front": lambda data: as_zip(b"x") + data,
    "zeros": lambda data: bytes(len(data)),
    "frame_only": lambda data: data[:8] + bytes(len(data) - 14) + data[-6:],
}
for key, change in FILES.items():
    register_as(
        f"shard_is_{key}",
        "arrow",
        (MALFORMED, UNSAFE),
        lambda root, bait, change=change: put_bytes(root, change),
    )


# Values.


def value(root: Path, name: str, number: float) -> None:
    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        old = batch.column(name)
        if name == "logits":
            flat = old.flatten().to_numpy().copy()
            flat[4] = number
            return column(
                batch, name, pa.FixedSizeListArray.from_arrays(pa.array(flat), type=old.type)
            )
        values = old.to_numpy().copy()
        values[3] = number
        return column(batch, name, pa.array(values))

    put(root, change)


VALUES = {
    "left_beyond_the_examples": ("left", 20),
    "right_beyond_the_examples": ("right", 2**32 - 1),
    "lam_above_one": ("lam", 1.5),
    "lam_below_zero": ("lam", -0.5),
    "lam_nan": ("lam", np.nan),
    "logits_nan": ("logits", np.nan),
    "logits_infinite": ("logits", -np.inf),
}
for key, (column_name, number) in VALUES.items():
    register_as(
        f"value_{key}",
        "arrow",
        (LOGITS,) if column_name == "logits" else (MALFORMED,),
        lambda root, bait, c=column_name, n=number: value(root, c, n),
    )


@hostile("arrow", MALFORMED)
def originals_of_other_examples(root: Path, bait: Path) -> None:
    """Rows exchanged, each valid in itself."""
    name = Cache.open(root).seal.records("originals")[0].file
    batch = pa.ipc.open_file(root / name).get_batch(0)
    sign(root, {name: ipc(batch.take(pa.array([1, 0, *range(2, batch.num_rows)])))})
