"""HDF5 files of contiguous, unfiltered data sets at the root, inspected before they are read.

The file is opened as an image in memory, so that a hostile one can name other files but not reach
them; the numbers are then taken from the very bytes that were hashed, not through libhdf5.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import h5py
import numpy as np

from mixkd.shared.cache.codecs.base import Columns, Layout
from mixkd.shared.errors import UnsafeFileError, malformed_table

SIGNATURE = b"\x89HDF\r\n\x1a\n"
OVERHEAD_LIMIT_BYTES = 64 * 1024


class Hdf5Codec:
    """Shards as HDF5 files."""

    name = "hdf5"
    suffix = "h5"
    overhead_bytes = OVERHEAD_LIMIT_BYTES

    def encode(self, layout: Layout, columns: Columns) -> bytes:
        """Return the bytes of a shard file: the same ones every time for the same columns."""
        image = io.BytesIO()
        with h5py.File(image, "w", libver=("v110", "v110")) as file:
            for name, text in layout.attributes.items():
                file.attrs.create(name, np.bytes_(text))
            for name, values in columns.items():
                file.create_dataset(name, data=values, track_times=False)
        return image.getvalue()

    def decode(self, layout: Layout, data: bytes, where: object) -> Columns:
        """Return the columns of a shard file's bytes, without copying them.

        Raises:
            MalformedError, UnsafeFileError: If the bytes are anything but a shard of this layout.
        """
        _check_frame(layout, data, where)
        try:
            identifier = h5py.h5f.open_file_image(data, flags=h5py.h5f.ACC_RDONLY)
            with h5py.File(identifier) as file:
                return _inspect(file, layout, data, where)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError) as error:
            text = str(error).split("\n")[0][:120]
            raise malformed_table(where, "an HDF5 file", text) from None


def _check_frame(layout: Layout, data: bytes, where: object) -> None:
    """Require a superblock of version 2 or 3 at byte 0 that ends where the file ends.

    HDF5 File Format Specification 3.0, "Disk Format: Level 0A": version at byte 8, size of offsets
    at byte 9, end of file address at byte 28.
    """
    if data[:8] != SIGNATURE or len(data) < 48 or data[8] not in (2, 3) or data[9] != 8:
        raise malformed_table(where, "an HDF5 file with superblock 2 or 3", "other bytes")
    (end,) = struct.unpack_from("<Q", data, 28)
    largest = layout.rows * layout.row_bytes + OVERHEAD_LIMIT_BYTES
    if end != len(data) or len(data) > largest:
        raise malformed_table(
            where, f"a file of at most {largest} bytes", f"{len(data)}, ending at {end}"
        )


def _inspect(file: Any, layout: Layout, data: bytes, where: object) -> Columns:
    _check_attributes(file, layout, where)
    if sorted(file) != sorted(layout.columns):
        raise malformed_table(where, f"the data sets {sorted(layout.columns)}", sorted(file)[:10])
    columns = {}
    for name, (dtype, _) in layout.columns.items():
        link = file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise _unsafe(where, f"{name} as a data set of its own", type(link).__name__)
        if h5py.h5o.get_info(file.id, name.encode()).type != h5py.h5o.TYPE_DATASET:
            raise malformed_table(where, f"{name} as a data set", "another object")
        columns[name] = _values(
            h5py.h5d.open(file.id, name.encode()), name, dtype, layout, data, where
        )
    return columns


def _check_attributes(file: Any, layout: Layout, where: object) -> None:
    if sorted(file.attrs) != sorted(layout.attributes):
        raise malformed_table(
            where, f"the attributes {sorted(layout.attributes)}", sorted(file.attrs)
        )
    for name, text in layout.attributes.items():
        attribute = h5py.h5a.open(file.id, name.encode())
        kind = attribute.get_type()
        fixed = isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str()
        if attribute.shape != () or not fixed or kind.get_size() != len(text):
            raise malformed_table(where, f"{name} = {text}", "an attribute of another type or size")
        value = file.attrs[name]
        if bytes(value) != text.encode():
            raise malformed_table(where, f"{name} = {text}", value)


def _values(
    dataset: Any,
    name: str,
    dtype: np.dtype[Any],
    layout: Layout,
    data: bytes,
    where: object,
) -> np.ndarray[Any, np.dtype[Any]]:
    shape = layout.shape(name)
    creation = dataset.get_create_plist()
    if creation.get_layout() != h5py.h5d.CONTIGUOUS or creation.get_external_count():
        raise _unsafe(where, f"{name} stored contiguously in this file", "another storage")
    if creation.get_nfilters():
        raise _unsafe(where, f"{name} without filters", "filters")
    if not dataset.get_type().equal(h5py.h5t.py_create(dtype)) or dataset.shape != shape:
        raise malformed_table(
            where, f"{name} {dtype}{list(shape)}", f"{dataset.dtype}{dataset.shape}"
        )
    size = layout.rows * dtype.itemsize * (shape[1] if len(shape) == 2 else 1)
    offset = dataset.get_offset()
    if dataset.get_storage_size() != size or offset is None or offset + size > len(data):
        raise malformed_table(
            where, f"{name} in {size} bytes", f"{dataset.get_storage_size()} bytes"
        )
    return np.frombuffer(data, dtype, size // dtype.itemsize, offset).reshape(shape)


def _unsafe(where: object, expected: str, found: object) -> UnsafeFileError:
    return UnsafeFileError(where, expected=expected, found=found, do="do not use this cache")
