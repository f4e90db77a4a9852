"""Hostile caches by HDF5 files with valid digests; see `tests/hostile/make.py`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mixkd.shared.cache.reader import Cache
from tests.hostile.registry import hostile, register_as
from tests.hostile.sign import sign

UNSAFE, MALFORMED = "UnsafeFileError", "MalformedError"
ROWS = 16


def rewrite(
    root: Path, change: Callable[[Any], object], *, libver: Any = ("v110", "v110"), **more: Any
) -> None:
    """The first shard of pairs, written as the builder does, then changed through h5py."""
    cache = Cache.open(root)
    record = cache.pair_records[0]
    layout = cache.identity.layout("pairs", record.start, record.stop)
    image = io.BytesIO()
    with h5py.File(image, "w", libver=libver, **more) as file:
        for name, text in layout.attributes.items():
            file.attrs.create(name, np.bytes_(text))
        for name, values in cache.read(record).items():
            file.create_dataset(name, data=values, track_times=False)
        change(file)
    sign(root, {record.file: image.getvalue()})


def lam(file: Any, **settings: Any) -> None:
    """`lam` as another data set."""
    values = file["lam"][...]
    del file["lam"]
    given = {"data": values} if "shape" not in settings else {}
    file.create_dataset("lam", track_times=False, **given, **settings)


@hostile("hdf5", UNSAFE)
def hdf5_external_storage(root: Path, bait: Path) -> None:
    """The numbers are bytes of any file that the reader may open (CVE-2026-1669)."""
    bait.write_bytes(np.full(ROWS, 0.5, np.float32).tobytes())
    storage = [(str(bait), 0, 4 * ROWS)]
    rewrite(root, lambda f: lam(f, shape=(ROWS,), dtype="<f4", external=storage))


@hostile("hdf5", UNSAFE)
def hdf5_external_link(root: Path, bait: Path) -> None:
    with h5py.File(bait, "w") as other:
        other["lam"] = np.full(ROWS, 0.5, np.float32)

    def link(file: Any) -> None:
        del file["lam"]
        file["lam"] = h5py.ExternalLink(str(bait), "/lam")

    rewrite(root, link)


@hostile("hdf5", UNSAFE)
def hdf5_soft_link(root: Path, bait: Path) -> None:
    def link(file: Any) -> None:
        del file["right"]
        file["right"] = h5py.SoftLink("/left")

    rewrite(root, link)


@hostile("hdf5", UNSAFE)
def hdf5_virtual(root: Path, bait: Path) -> None:
    with h5py.File(bait, "w") as other:
        other["lam"] = np.full(ROWS, 0.5, np.float32)

    def virtual(file: Any) -> None:
        del file["lam"]
        layout = h5py.VirtualLayout((ROWS,), "<f4")
        layout[:] = h5py.VirtualSource(str(bait), "lam", (ROWS,))
        file.create_virtual_dataset("lam", layout)

    rewrite(root, virtual)


@hostile("hdf5", UNSAFE)
def hdf5_gzip(root: Path, bait: Path) -> None:
    rewrite(root, lambda file: lam(file, compression="gzip"))


@hostile("hdf5", UNSAFE, MALFORMED)
def hdf5_gzip_bomb(root: Path, bait: Path) -> None:
    """A few hundred kilobytes that expand to 256 MB."""

    def bomb(file: Any) -> None:
        del file["lam"]
        data = file.create_dataset(
            "lam", (2**26,), "<f4", chunks=(2**22,), compression="gzip", track_times=False
        )
        data[...] = 0

    rewrite(root, bomb)


@hostile("hdf5", UNSAFE, MALFORMED)
def hdf5_shape_bomb(root: Path, bait: Path) -> None:
    """Ten petabytes declared, none allocated (CVE-2026-0897)."""
    rewrite(root, lambda f: lam(f, shape=(10**16 // 4,), dtype="<f4", chunks=(2**10,)))


@hostile("hdf5", UNSAFE, MALFORMED)
def hdf5_contiguous_shape_bomb(root: Path, bait: Path) -> None:
    rewrite(root, lambda f: lam(f, shape=(2**50,), dtype="<f4"))


@hostile("hdf5", UNSAFE)
def hdf5_chunked(root: Path, bait: Path) -> None:
    rewrite(root, lambda file: lam(file, chunks=(4,)))


@hostile("hdf5", UNSAFE)
def hdf5_checksummed(root: Path, bait: Path) -> None:
    rewrite(root, lambda file: lam(file, fletcher32=True))


@hostile("hdf5", UNSAFE)
def hdf5_unknown_filter(root: Path, bait: Path) -> None:
    """A filter that libhdf5 would look for among plug-ins."""

    def filtered(file: Any) -> None:
        values = file["lam"][...]
        del file["lam"]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((ROWS,))
        creation.set_filter(300, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((ROWS,))
        data = h5py.h5d.create(file.id, b"lam", h5py.h5t.IEEE_F32LE, space, creation)
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, values)

    rewrite(root, filtered)


@hostile("hdf5", UNSAFE, MALFORMED)
def hdf5_compact(root: Path, bait: Path) -> None:
    def compact(file: Any) -> None:
        values = file["lam"][...]
        del file["lam"]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((ROWS,))
        data = h5py.h5d.create(file.id, b"lam", h5py.h5t.IEEE_F32LE, space, creation)
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, values)

    rewrite(root, compact)


def replace_lam(file: Any, **settings: Any) -> None:
    del file["lam"]
    file.create_dataset("lam", **settings)


TYPES: dict[str, Callable[[Any], object]] = {
    "big_endian": lambda f: lam(f, dtype=">f4"),
    "wider": lambda f: lam(f, dtype="<f8"),
    "integers": lambda f: lam(f, dtype="<i4"),
    "two_columns": lambda f: replace_lam(f, data=np.zeros((ROWS, 1), np.float32)),
    "fewer_rows": lambda f: replace_lam(f, data=np.zeros(ROWS - 1, np.float32)),
    "scalar": lambda f: replace_lam(f, data=np.float32(0)),
    "null_space": lambda f: replace_lam(f, data=h5py.Empty("f4")),
    "texts": lambda f: replace_lam(f, data=["x"] * ROWS, dtype=h5py.string_dtype()),
    "references": lambda f: replace_lam(f, data=[f.ref] * ROWS, dtype=h5py.ref_dtype),
    "compound": lambda f: replace_lam(f, data=np.zeros(ROWS, [("a", "<f4")])),
    "enumeration": lambda f: replace_lam(
        f, data=np.zeros(ROWS, np.int8), dtype=h5py.enum_dtype({"a": 0}, "i1")
    ),
    "missing": lambda f: f.pop("lam"),
    "extra": lambda f: f.create_dataset("extra", data=np.zeros(3)),
    "extra_group": lambda f: f.create_group("lam2"),
    "group": lambda f: (f.pop("lam"), f.create_group("lam")),
    "named_type": lambda f: (f.pop("lam"), f.__setitem__("lam", np.dtype("<f4"))),
    "attribute_extra": lambda f: f.attrs.create("extra", 1),
    "attribute_missing": lambda f: f.attrs.pop("kind"),
    "attribute_number": lambda f: f.attrs.create("start", 0),
    "attribute_text": lambda f: f.attrs.create("kind", "pairs", dtype=h5py.string_dtype()),
    "attribute_huge": lambda f: f.attrs.create("kind", np.bytes_(b"p" * 60_000)),
    "attribute_list": lambda f: f.attrs.create("kind", np.array([b"pairs"] * 99)),
    "attribute_foreign": lambda f: f.attrs.create("fingerprint", np.bytes_(b"0" * 64)),
    "attribute_reference": lambda f: f.attrs.create("kind", f.ref, dtype=h5py.ref_dtype),
    "lam_above_one": lambda f: f["lam"].write_direct(np.full(ROWS, 2, np.float32)),
    "left_foreign": lambda f: f["left"].write_direct(np.full(ROWS, 10**6, np.uint32)),
}
for key, change in TYPES.items():
    register_as(
        f"hdf5_{key}",
        "hdf5",
        (MALFORMED, UNSAFE),
        lambda root, bait, change=change: rewrite(root, change),
    )


@hostile("hdf5", "LogitsError")
def hdf5_logits_nan(root: Path, bait: Path) -> None:
    rewrite(root, lambda f: f["logits"].write_direct(np.full((ROWS, 3), np.nan, np.float32)))


@hostile("hdf5", MALFORMED)
def hdf5_user_block(root: Path, bait: Path) -> None:
    """Whatever one likes before the superblock."""
    rewrite(root, lambda file: None, userblock_size=512)


@hostile("hdf5", MALFORMED)
def hdf5_old_superblock(root: Path, bait: Path) -> None:
    """Without checksums."""
    rewrite(root, lambda file: None, libver=("earliest", "v108"))


def put_bytes(root: Path, change: Callable[[bytes], bytes]) -> None:
    name = Cache.open(root).pair_records[0].file
    sign(root, {name: change((root / name).read_bytes())})


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "appended": lambda data: data + b"PK\5\6" + bytes(18),
    "cut": lambda data: data[:-1],
    "cut_to_superblock": lambda data: data[:48],
    "signature_only": lambda data: data[:8] + bytes(len(data) - 8),
    "padded_to_a_mebibyte": lambda data: data + bytes(2**20),
    "arrow": lambda data: b"ARROW1\0\0" + data[8:],
}
for key, alter in BYTES.items():
    register_as(
        f"hdf5_bytes_{key}",
        "hdf5",
        (MALFORMED, UNSAFE),
        lambda root, bait, alter=alter: put_bytes(root, alter),
    )
