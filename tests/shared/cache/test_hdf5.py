"""HDF5 files that no builder writes are refused, and reach no other file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mixkd.shared.cache.codecs import CODECS
from mixkd.shared.cache.codecs.base import Columns
from mixkd.shared.errors import MalformedError, UnsafeFileError
from tests.shared.cache.columns import PAIRS, columns_of


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
        CODECS["hdf5"].decode(PAIRS, make(), "x")


def test_hdf5_file_with_much_room() -> None:
    big = hdf5_file(
        lambda file, columns: [file.attrs.create(f"x{i}", b"x" * 60_000) for i in range(2)]
    )
    with pytest.raises(MalformedError, match="a file of at most"):
        CODECS["hdf5"].decode(PAIRS, big, "x")


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
            CODECS["hdf5"].decode(PAIRS, data, "x")
    assert not [path for path in opened if "passwd" in str(path)]
