"""What a shard must look like, whatever its format, and what a format must do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from mixkd.shared import FORMAT_VERSION
from mixkd.shared.errors import LogitsError, MalformedError

Columns = dict[str, npt.NDArray[Any]]
KindName = Literal["originals", "pairs"]
KINDS: tuple[KindName, ...] = ("originals", "pairs")
SHARD_LIMIT_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Layout:
    """The expected shape of one shard.

    Attributes:
        fingerprint: sha256 of the cache's identity.
        kind: "originals" (split, example, logits) or "pairs" (left, right, lam, logits).
        start, stop: The rows it holds.
        classes: C, the number of logits in a row.
        logits_dtype: "float32" or "float16".
    """

    fingerprint: str
    kind: KindName
    start: int
    stop: int
    classes: int
    logits_dtype: str

    @property
    def rows(self) -> int:
        return self.stop - self.start

    @property
    def columns(self) -> dict[str, tuple[np.dtype[np.generic], int]]:
        """Name -> (dtype, numbers in a row), in the order of the file."""
        keys = {
            "originals": {"split": "int8", "example": "uint32"},
            "pairs": {"left": "uint32", "right": "uint32", "lam": "float32"},
        }[self.kind]
        widths = {name: (np.dtype(dtype), 1) for name, dtype in keys.items()}
        return {**widths, "logits": (np.dtype(self.logits_dtype), self.classes)}

    @property
    def row_bytes(self) -> int:
        return sum(dtype.itemsize * width for dtype, width in self.columns.values())

    @property
    def attributes(self) -> dict[str, str]:
        """What the file says of itself, as text."""
        return {
            "format": str(FORMAT_VERSION),
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "start": str(self.start),
        }

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a column: [rows], and [rows, C] for the logits."""
        return (self.rows, self.classes) if name == "logits" else (self.rows,)


class Codec(Protocol):
    """One file format of shards: columns of rows <-> bytes.

    Attributes:
        name: As in the header's `shard_format`.
        suffix: Of the files' names.
        overhead_bytes: The most that headers and footers take beside the rows.
    """

    name: str
    suffix: str
    overhead_bytes: int

    def encode(self, layout: Layout, columns: Columns) -> bytes:
        """Return the bytes of a shard file: the same ones every time for the same columns."""
        ...

    def decode(self, layout: Layout, data: bytes, where: object) -> Columns:
        """Return the columns of a shard file's bytes.

        Raises:
            MalformedError, UnsafeFileError: If the bytes are anything but a shard of this layout;
                before anything is decoded or allocated.
        """
        ...


def columns_equal(left: Columns, right: Columns) -> bool:
    """Compare bit for bit, names and order included."""
    return list(left) == list(right) and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].tobytes() == right[name].tobytes()
        for name in left
    )


def check_values(columns: Columns, train_rows: int, where: object) -> None:
    """Refuse values that no builder writes: foreign examples, weights outside [0, 1], NaN.

    Raises:
        MalformedError, LogitsError: Naming the column.
    """
    for name, limit in (
        ("left", train_rows - 1),
        ("right", train_rows - 1),
        ("lam", 1),
    ):
        if name in columns:
            values = columns[name]
            if not ((values >= 0) & (values <= limit)).all():
                raise MalformedError(
                    where,
                    expected=f"{name} in [0, {limit}]",
                    found=f"values in [{values.min()}, {values.max()}]",
                    do="do not use this cache; build it again",
                )
    if not np.isfinite(columns["logits"]).all():
        rows = np.flatnonzero(~np.isfinite(columns["logits"]).all(axis=1))
        raise LogitsError(
            where,
            expected="finite logits",
            found=f"NaN or infinity in {len(rows)} rows, the first at {rows[0]} of the shard",
            do="do not use this cache; build it again",
        )
