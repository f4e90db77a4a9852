"""Columns survive both shard formats bit for bit; bytes that no builder writes are refused."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

from mixkd.shared.cache.codecs import CODECS
from mixkd.shared.cache.codecs.arrow import encode_batch
from mixkd.shared.cache.codecs.base import Columns, Layout, check_values, columns_equal
from mixkd.shared.errors import LogitsError, MalformedError, UnsafeFileError
from tests.shared.cache.columns import FINGERPRINT, PAIRS, columns_of

FORMATS = tuple(CODECS)


@pytest.mark.parametrize("shard_format", FORMATS)
@pytest.mark.parametrize("kind", ["pairs", "originals"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (1, 77), (7, 2), (100, 77)])
def test_round_trip(shard_format: str, kind: str, dtype: str, rows: int, classes: int) -> None:
    layout = Layout(FINGERPRINT, kind, 5, 5 + rows, classes, dtype)
    columns = columns_of(layout)
    data = CODECS[shard_format].encode(layout, columns)
    assert columns_equal(CODECS[shard_format].decode(layout, data, "x"), columns)
    assert CODECS[shard_format].encode(layout, columns) == data
    least = rows * layout.row_bytes
    assert least < len(data) < least + 8192


def test_both_formats_hold_the_same() -> None:
    columns = columns_of(PAIRS)
    arrow, hdf5 = (
        CODECS[name].decode(PAIRS, CODECS[name].encode(PAIRS, columns), "x") for name in FORMATS
    )
    assert columns_equal(arrow, hdf5)


def test_the_libraries_own_readers_agree() -> None:
    columns = columns_of(PAIRS)
    table = pa.ipc.open_file(CODECS["arrow"].encode(PAIRS, columns)).read_all()
    assert table.schema.metadata[b"start"] == b"32"
    with h5py.File(io.BytesIO(CODECS["hdf5"].encode(PAIRS, columns))) as file:
        assert file.attrs["kind"] == b"pairs"
        for name, values in columns.items():
            np.testing.assert_array_equal(file[name][()], values)
            np.testing.assert_array_equal(np.stack(table[name].to_numpy()), values)


@pytest.mark.parametrize("shard_format", FORMATS)
def test_what_is_decoded_cannot_be_changed(shard_format: str) -> None:
    data = CODECS[shard_format].encode(PAIRS, columns_of(PAIRS))
    with pytest.raises(ValueError, match="read-only"):
        CODECS[shard_format].decode(PAIRS, data, "x")["lam"][0] = 1


@pytest.mark.parametrize("shard_format", FORMATS)
@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "e" * 64},
        {"kind": "originals"},
        {"start": 33, "stop": 40},
        {"stop": 40},
        {"stop": 38},
        {"classes": 2},
        {"classes": 4},
        {"logits_dtype": "float16"},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_another_layout(shard_format: str, changes: dict[str, Any]) -> None:
    data = CODECS[shard_format].encode(PAIRS, columns_of(PAIRS))
    with pytest.raises(MalformedError, match=r"^x: expected"):
        CODECS[shard_format].decode(dataclasses.replace(PAIRS, **changes), data, "x")


@pytest.mark.parametrize("shard_format", FORMATS)
def test_cut_and_lengthened(shard_format: str) -> None:
    data = CODECS[shard_format].encode(PAIRS, columns_of(PAIRS))
    for cut in (0, 1, 8, len(data) // 2, len(data) - 8, len(data) - 1):
        with pytest.raises(MalformedError, match=r"^x: expected"):
            CODECS[shard_format].decode(PAIRS, data[:cut], "x")
    for junk in (b"\0", b"\0" * 8, b"PK\3\4" * 100, b"ARROW1", data):
        with pytest.raises(MalformedError, match=r"^x: expected"):
            CODECS[shard_format].decode(PAIRS, data + junk, "x")


@pytest.mark.parametrize("shard_format", FORMATS)
def test_every_cut_and_every_byte_gives_columns_or_a_named_error(shard_format: str) -> None:
    layout = Layout(FINGERPRINT, "pairs", 0, 2, 1, "float32")
    data = CODECS[shard_format].encode(layout, columns_of(layout))
    choose = np.random.default_rng(0)
    for cut in choose.integers(0, len(data), 100):
        with pytest.raises(MalformedError):
            CODECS[shard_format].decode(layout, data[:cut], "x")
    for place in choose.integers(0, len(data), 300):
        bad = bytearray(data)
        bad[place] = choose.integers(256)
        try:
            found = CODECS[shard_format].decode(layout, bytes(bad), "x")
        except MalformedError:
            continue
        assert [values.nbytes for values in found.values()] == [8, 8, 8, 8]


@pytest.mark.parametrize("shard_format", FORMATS)
def test_a_shard_of_the_other_format(shard_format: str) -> None:
    other = next(name for name in FORMATS if name != shard_format)
    data = CODECS[other].encode(PAIRS, columns_of(PAIRS))
    with pytest.raises(MalformedError, match=r"^x: expected"):
        CODECS[shard_format].decode(PAIRS, data, "x")


def arrow_batch(columns: Columns | None = None) -> pa.RecordBatch:
    data = CODECS["arrow"].encode(PAIRS, columns or columns_of(PAIRS))
    return pa.ipc.open_file(data).get_batch(0)


def arrow_file(*batches: pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    chosen = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_file(sink, batches[0].schema, options=chosen) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def arrow_stream() -> bytes:
    sink = pa.BufferOutputStream()
    batch = arrow_batch()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def arrow_without_metadata() -> bytes:
    return encode_batch(arrow_batch().replace_schema_metadata(None))


def arrow_with_a_column() -> bytes:
    batch = arrow_batch()
    return encode_batch(batch.append_column("more", batch["lam"]))


def arrow_without_a_column() -> bytes:
    return encode_batch(arrow_batch().drop_columns(["lam"]))


def arrow_in_another_order() -> bytes:
    batch = arrow_batch()
    order = ["right", "left", "lam", "logits"]
    return encode_batch(batch.select(order).replace_schema_metadata(batch.schema.metadata))


def arrow_with_nulls() -> bytes:
    """Under a schema that says there are none."""
    batch = arrow_batch()
    column = pa.array([None, *batch["lam"].to_pylist()[1:]], pa.float32())
    arrays = [column if name == "lam" else batch[name] for name in batch.schema.names]
    return encode_batch(pa.RecordBatch.from_arrays(arrays, schema=batch.schema))


def arrow_with_null_logits() -> bytes:
    """Inside the lists, where the schema allows them."""
    batch = arrow_batch()
    kind = batch.schema.field("logits").type
    column = pa.array([[None, 1, 2], *batch["logits"].to_pylist()[1:]], kind)
    arrays = [column if name == "logits" else batch[name] for name in batch.schema.names]
    return encode_batch(pa.RecordBatch.from_arrays(arrays, schema=batch.schema))


ARROW: dict[str, tuple[Callable[[], bytes], str]] = {
    "zstd": (lambda: arrow_file(arrow_batch(), compression="zstd"), "found compression"),
    "lz4": (lambda: arrow_file(arrow_batch(), compression="lz4"), "found compression"),
    "two batches": (
        lambda: arrow_file(arrow_batch(), arrow_batch()),
        "expected one record batch",
    ),
    "two halves": (
        lambda: arrow_file(arrow_batch().slice(0, 3), arrow_batch().slice(3)),
        "expected 7 rows, found 3 rows",
    ),
    "no batch": (lambda: arrow_file(arrow_batch().slice(0, 0)), "expected 7 rows, found 0 rows"),
    "stream": (arrow_stream, "expected an Arrow IPC file"),
    "no metadata": (arrow_without_metadata, "expected the schema"),
    "another column": (arrow_with_a_column, "expected the schema"),
    "no lam": (arrow_without_a_column, "expected the schema"),
    "another order": (arrow_in_another_order, "expected the schema"),
    "nulls": (arrow_with_nulls, "expected"),
    "null logits": (arrow_with_null_logits, "expected"),
}


@pytest.mark.parametrize("name", ARROW)
def test_arrow_files_that_no_builder_writes(name: str) -> None:
    make, expected = ARROW[name]
    with pytest.raises(MalformedError, match=rf"^x: .*{expected}"):
        CODECS["arrow"].decode(PAIRS, make(), "x")


def test_compression_is_unsafe() -> None:
    with pytest.raises(UnsafeFileError, match="an uncompressed batch"):
        CODECS["arrow"].decode(PAIRS, arrow_file(arrow_batch(), compression="zstd"), "x")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("left", 30, r"left in \[0, 29\]"),
        ("right", 2**32 - 1, r"right in \[0, 29\]"),
        ("lam", -0.1, r"lam in \[0, 1\]"),
        ("lam", 1.1, r"lam in \[0, 1\]"),
        ("lam", np.nan, r"lam in \[0, 1\]"),
    ],
)
def test_values_that_no_builder_writes(name: str, value: float, expected: str) -> None:
    columns = columns_of(PAIRS)
    columns["left"], columns["right"] = np.arange(14, dtype=np.uint32).reshape(2, 7)
    check_values(columns, 30, "x")
    columns[name][3] = value
    with pytest.raises(MalformedError, match=f"^x: expected {expected}"):
        check_values(columns, 30, "x")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_logits_that_are_not_finite(value: float, dtype: str) -> None:
    columns: Columns = {"logits": np.zeros((7, 3), dtype)}
    columns["logits"][4:, 1] = value
    with pytest.raises(LogitsError, match="3 rows, the first at 4 of the shard"):
        check_values(columns, 30, "x")
