"""Columns survive both shard formats bit for bit; bytes that no builder writes are refused."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

from shared import shards
from shared.errors import LogitsError, MalformedError, UnsafeFileError
from shared.shards.arrow import encode_batch
from shared.shards.layout import Columns, Layout, check_values, columns_equal

FORMATS = tuple(shards.FORMATS)
FINGERPRINT = "f" * 64
PAIRS = Layout(FINGERPRINT, "pairs", 32, 39, 3, "float32")


def columns_of(layout: Layout, seed: int = 0) -> Columns:
    """Random columns, extreme floats among them."""
    choose = np.random.default_rng(seed)
    columns: Columns = {}
    for name, (dtype, _) in layout.columns.items():
        shape = layout.shape(name)
        if dtype.kind == "f":
            columns[name] = choose.random(shape).astype(dtype)
            columns[name].flat[0] = -0.0
            columns[name].flat[-1] = np.finfo(dtype).smallest_subnormal
        else:
            columns[name] = choose.integers(0, 100, shape, dtype)
    return columns


@pytest.mark.parametrize("shard_format", FORMATS)
@pytest.mark.parametrize("kind", ["pairs", "originals"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (1, 77), (7, 2), (100, 77)])
def test_round_trip(shard_format: str, kind: str, dtype: str, rows: int, classes: int) -> None:
    layout = Layout(FINGERPRINT, kind, 5, 5 + rows, classes, dtype)
    columns = columns_of(layout)
    data = shards.encode(shard_format, layout, columns)
    assert columns_equal(shards.decode(shard_format, layout, data, "x"), columns)
    assert shards.encode(shard_format, layout, columns) == data
    least = rows * layout.row_bytes
    assert least < len(data) < least + 8192


def test_both_formats_hold_the_same() -> None:
    columns = columns_of(PAIRS)
    arrow, hdf5 = (
        shards.decode(name, PAIRS, shards.encode(name, PAIRS, columns), "x") for name in FORMATS
    )
    assert columns_equal(arrow, hdf5)


def test_the_libraries_own_readers_agree() -> None:
    columns = columns_of(PAIRS)
    table = pa.ipc.open_file(shards.encode("arrow", PAIRS, columns)).read_all()
    assert table.schema.metadata[b"start"] == b"32"
    with h5py.File(io.BytesIO(shards.encode("hdf5", PAIRS, columns))) as file:
        assert file.attrs["kind"] == b"pairs"
        for name, values in columns.items():
            np.testing.assert_array_equal(file[name][()], values)
            np.testing.assert_array_equal(np.stack(table[name].to_numpy()), values)


@pytest.mark.parametrize("shard_format", FORMATS)
def test_what_is_decoded_cannot_be_changed(shard_format: str) -> None:
    data = shards.encode(shard_format, PAIRS, columns_of(PAIRS))
    with pytest.raises(ValueError, match="read-only"):
        shards.decode(shard_format, PAIRS, data, "x")["lam"][0] = 1


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
    data = shards.encode(shard_format, PAIRS, columns_of(PAIRS))
    with pytest.raises(MalformedError, match=r"^x: expected"):
        shards.decode(shard_format, dataclasses.replace(PAIRS, **changes), data, "x")


@pytest.mark.parametrize("shard_format", FORMATS)
def test_cut_and_lengthened(shard_format: str) -> None:
    data = shards.encode(shard_format, PAIRS, columns_of(PAIRS))
    for cut in (0, 1, 8, len(data) // 2, len(data) - 8, len(data) - 1):
        with pytest.raises(MalformedError, match=r"^x: expected"):
            shards.decode(shard_format, PAIRS, data[:cut], "x")
    for junk in (b"\0", b"\0" * 8, b"PK\3\4" * 100, b"ARROW1", data):
        with pytest.raises(MalformedError, match=r"^x: expected"):
            shards.decode(shard_format, PAIRS, data + junk, "x")


@pytest.mark.parametrize("shard_format", FORMATS)
def test_every_cut_and_every_byte_gives_columns_or_a_named_error(shard_format: str) -> None:
    layout = Layout(FINGERPRINT, "pairs", 0, 2, 1, "float32")
    data = shards.encode(shard_format, layout, columns_of(layout))
    choose = np.random.default_rng(0)
    for cut in choose.integers(0, len(data), 100):
        with pytest.raises(MalformedError):
            shards.decode(shard_format, layout, data[:cut], "x")
    for place in choose.integers(0, len(data), 300):
        bad = bytearray(data)
        bad[place] = choose.integers(256)
        try:
            found = shards.decode(shard_format, layout, bytes(bad), "x")
        except MalformedError:
            continue
        assert [values.nbytes for values in found.values()] == [8, 8, 8, 8]


@pytest.mark.parametrize("shard_format", FORMATS)
def test_a_shard_of_the_other_format(shard_format: str) -> None:
    other = next(name for name in FORMATS if name != shard_format)
    data = shards.encode(other, PAIRS, columns_of(PAIRS))
    with pytest.raises(MalformedError, match=r"^x: expected"):
        shards.decode(shard_format, PAIRS, data, "x")


def arrow_batch(columns: Columns | None = None) -> pa.RecordBatch:
    data = shards.encode("arrow", PAIRS, columns or columns_of(PAIRS))
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
        shards.decode("arrow", PAIRS, make(), "x")


def test_compression_is_unsafe() -> None:
    with pytest.raises(UnsafeFileError, match="an uncompressed batch"):
        shards.decode("arrow", PAIRS, arrow_file(arrow_batch(), compression="zstd"), "x")


def hdf5_file(change: Callable[[h5py.File, Columns], object], **options: Any) -> bytes:
    """A shard of seven pairs to which `change` did something."""
    image = io.BytesIO()
    columns = columns_of(PAIRS)
    with h5py.File(image, "w", **{"libver": ("v110", "v110"), **options}) as file:
        for name, text in PAIRS.attributes.items():
            file.attrs.create(name, np.bytes_(text))
        for name, values in columns.items():
            file.create_dataset(name, data=values, track_times=False)
        change(file, columns)
    return image.getvalue()


def put(file: h5py.File, name: str, values: Any, **options: Any) -> None:
    del file[name]
    file.create_dataset(name, data=values, track_times=False, **options)


def external(file: h5py.File, columns: Columns) -> None:
    del file["lam"]
    file.create_dataset("lam", (7,), "f4", external=[("/etc/passwd", 0, 28)])


def virtual(file: h5py.File, columns: Columns) -> None:
    del file["lam"]
    layout = h5py.VirtualLayout((7,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "lam", (7,))
    file.create_virtual_dataset("lam", layout)


def soft_link(file: h5py.File, columns: Columns) -> None:
    del file["left"]
    file["left"] = h5py.SoftLink("/right")


def external_link(file: h5py.File, columns: Columns) -> None:
    del file["lam"]
    file["lam"] = h5py.ExternalLink("/etc/passwd", "/lam")


def group(file: h5py.File, columns: Columns) -> None:
    del file["lam"]
    file.create_group("lam")


def named_type(file: h5py.File, columns: Columns) -> None:
    del file["lam"]
    file["lam"] = np.dtype("f4")


def unwritten(file: h5py.File, columns: Columns) -> None:
    del file["lam"]
    file.create_dataset("lam", (7,), "f4")


def resizable(file: h5py.File, columns: Columns) -> None:
    put(file, "lam", columns["lam"], chunks=(7,), maxshape=(None,))


def attribute(name: str, value: Any) -> Callable[[h5py.File, Columns], object]:
    return lambda file, columns: file.attrs.create(name, value)


HDF5: dict[str, tuple[Callable[[], bytes], str]] = {
    "chunked": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", c["lam"], chunks=(7,))),
        "lam stored contiguously",
    ),
    "gzip": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", c["lam"], compression="gzip")),
        "lam stored contiguously",
    ),
    "checksums": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", c["lam"], fletcher32=True)),
        "lam stored contiguously",
    ),
    "resizable": (lambda: hdf5_file(resizable), "lam stored contiguously"),
    "external": (lambda: hdf5_file(external), "lam stored contiguously"),
    "virtual": (lambda: hdf5_file(virtual), "lam stored contiguously"),
    "soft link": (lambda: hdf5_file(soft_link), "left as a data set of its own"),
    "external link": (lambda: hdf5_file(external_link), "lam as a data set of its own"),
    "group": (lambda: hdf5_file(group), "lam as a data set"),
    "named type": (lambda: hdf5_file(named_type), "lam as a data set"),
    "unwritten": (lambda: hdf5_file(unwritten), "lam in 28 bytes"),
    "extra data set": (
        lambda: hdf5_file(lambda f, c: f.create_dataset("more", data=[1])),
        "the data sets",
    ),
    "extra group": (lambda: hdf5_file(lambda f, c: f.create_group("more")), "the data sets"),
    "missing": (lambda: hdf5_file(lambda f, c: f.pop("lam")), "the data sets"),
    "wider": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", c["lam"].astype("f8"))),
        r"lam float32\[7\]",
    ),
    "big-endian": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", c["lam"].astype(">f4"))),
        r"lam float32\[7\]",
    ),
    "integers": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", c["lam"].view("i4"))),
        r"lam float32\[7\]",
    ),
    "fewer rows": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", c["lam"][:6])),
        r"lam float32\[7\]",
    ),
    "two dimensions": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", c["lam"][:, None])),
        r"lam float32\[7\]",
    ),
    "transposed": (
        lambda: hdf5_file(lambda f, c: put(f, "logits", c["logits"].T)),
        r"logits float32\[7, 3\]",
    ),
    "text": (
        lambda: hdf5_file(lambda f, c: put(f, "lam", ["a"] * 7)),
        r"lam float32\[7\]",
    ),
    "scalar": (lambda: hdf5_file(lambda f, c: put(f, "lam", np.float32(1))), "lam"),
    "old file": (
        lambda: hdf5_file(lambda f, c: None, libver=("earliest", "v108")),
        "superblock 2 or 3",
    ),
    "user block": (
        lambda: hdf5_file(lambda f, c: None, userblock_size=512),
        "superblock 2 or 3",
    ),
    "extra attribute": (lambda: hdf5_file(attribute("more", np.bytes_("1"))), "the attributes"),
    "other start": (lambda: hdf5_file(attribute("start", np.bytes_("33"))), "start = 32"),
    "number as attribute": (lambda: hdf5_file(attribute("start", 32)), "start = 32"),
    "variable text": (lambda: hdf5_file(attribute("start", "32")), "start = 32"),
    "array as attribute": (
        lambda: hdf5_file(attribute("start", np.array([b"32"]))),
        "start = 32",
    ),
}


@pytest.mark.parametrize("name", HDF5)
def test_hdf5_files_that_no_builder_writes(name: str) -> None:
    make, expected = HDF5[name]
    with pytest.raises(MalformedError, match=rf"^x: expected .*{expected}"):
        shards.decode("hdf5", PAIRS, make(), "x")


def test_hdf5_file_with_much_room() -> None:
    big = hdf5_file(
        lambda file, columns: [file.attrs.create(f"x{i}", b"x" * 60_000) for i in range(2)]
    )
    with pytest.raises(MalformedError, match="a file of at most"):
        shards.decode("hdf5", PAIRS, big, "x")


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


def test_hostile_files_reach_no_other_file(tmp_path: Path, monkeypatch: Any) -> None:
    """Whatever they name: opened from memory, and refused before any value is read."""
    opened: list[object] = []
    real = open

    def watched(path: Any, *arguments: Any, **more: Any) -> Any:
        opened.append(path)
        return real(path, *arguments, **more)

    files = [HDF5[name][0]() for name in ("external", "virtual", "external link")]
    monkeypatch.setattr("builtins.open", watched)
    for data in files:
        with pytest.raises(UnsafeFileError):
            shards.decode("hdf5", PAIRS, data, "x")
    assert not [path for path in opened if "passwd" in str(path)]
