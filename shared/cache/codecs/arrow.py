"""Shards as Arrow IPC files."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.arrow_ipc import decode_batch, encode_batch
from mixkd.shared.cache.codecs.base import Columns, Layout


class ArrowCodec:
    """Shards as Arrow IPC files."""

    name = "arrow"
    suffix = "arrow"
    overhead_bytes = 128 * 1024

    def encode(self, layout: Layout, columns: Columns) -> bytes:
        """Return the bytes of a shard file: the same ones every time for the same columns."""
        schema = _schema(layout)
        arrays = [
            pa.FixedSizeListArray.from_arrays(
                pa.array(values.ravel()), type=schema.field(name).type
            )
            if values.ndim == 2
            else pa.array(values)
            for name, values in columns.items()
        ]
        return encode_batch(pa.record_batch(arrays, schema=schema))

    def decode(self, layout: Layout, data: bytes, where: object) -> Columns:
        """Return the columns of a shard file's bytes, without copying them.

        Raises:
            MalformedError, UnsafeFileError: If the bytes are anything but a shard of this layout.
        """
        batch = decode_batch(
            data, [_schema(layout)], layout.rows, where, body_bytes=_body_bytes(layout)
        )
        return {
            name: _values(batch.column(name)).reshape(layout.shape(name)) for name in layout.columns
        }


def _schema(layout: Layout) -> pa.Schema:
    fields = [
        pa.field(
            name,
            pa.list_(pa.from_numpy_dtype(dtype), width)
            if name == "logits"
            else pa.from_numpy_dtype(dtype),
            nullable=False,
        )
        for name, (dtype, width) in layout.columns.items()
    ]
    return pa.schema(fields, metadata=layout.attributes)


def _values(column: pa.Array) -> npt.NDArray[Any]:
    flat = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
    values: npt.NDArray[Any] = flat.to_numpy(zero_copy_only=True)
    return values


def _body_bytes(layout: Layout) -> int:
    """Compute the size of a body; each buffer is padded to 8 bytes (Arrow columnar format)."""
    sizes = (layout.rows * dtype.itemsize * width for dtype, width in layout.columns.values())
    return sum(-(-size // 8) * 8 for size in sizes)
