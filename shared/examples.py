"""Tokenised examples of one split: rows of ids, types, label and texts, their table and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.arrow_ipc import content_of, decode_batch, encode_batch
from mixkd.shared.content import Content
from mixkd.shared.errors import MalformedError
from mixkd.shared.metrics import CLASSIFICATION, MULTI_LABEL, REGRESSION
from mixkd.shared.mixup import MixBatch
from mixkd.shared.pairs import PairTable

Array = npt.NDArray[Any]
ROWS_AT_ONCE = 2**14  # as objects of Python


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths in one flat array: row i is `flat[offsets[i]:offsets[i + 1]]`."""

    flat: Array
    offsets: npt.NDArray[np.int64]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int] | Array], dtype: npt.DTypeLike) -> Ragged:
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        flat = np.concatenate([np.asarray(row, dtype) for row in rows] or [np.empty(0, dtype)])
        return cls(flat, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))

    def __getitem__(self, row: int) -> Array:
        return self.flat[self.offsets[row] : self.offsets[row + 1]]

    def lengths(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the lengths of the chosen rows, int64 [len(rows)]."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def padded(self, rows: npt.ArrayLike, width: int, pad: int) -> npt.NDArray[np.int64]:
        """Return the chosen rows, padded on the right: int64 [len(rows), width]."""
        rows = np.asarray(rows)
        lengths = self.lengths(rows)
        inside = np.arange(width) < lengths[:, None]
        padded = np.full(inside.shape, pad, np.int64)
        source = self.offsets[rows][:, None] + np.arange(width)
        padded[inside] = self.flat[source[inside]]
        return padded


class Growing:
    """Rows that are added batch by batch, in buffers that grow in place: there is no second copy
    of all of them when the last one is known."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._flat = bytearray()
        self._lengths = bytearray()

    def add(self, rows: Sequence[Sequence[int]]) -> None:
        """Add rows of numbers."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        flat = np.fromiter(chain.from_iterable(rows), self._dtype, int(lengths.sum()))
        self._lengths += lengths.tobytes()
        self._flat += flat.tobytes()

    def ragged(self) -> Ragged:
        """Return the rows, over the buffers themselves: nothing can be added any more."""
        lengths = np.frombuffer(self._lengths, np.int64)
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return Ragged(np.frombuffer(self._flat, self._dtype), offsets)


@dataclass(frozen=True, slots=True)
class Examples:
    """One split, row number = example id.

    Attributes:
        input_ids: int32 rows, special tokens included, truncated, not padded.
        token_type_ids: int8 rows, or None where the teacher uses none.
        labels: int64 [n] class numbers; int8 [n, C] of 0 and 1 for multi-label; float32 [n] for
            regression. A row of train may have none: -1, C times for multi-label, or NaN.
        text_a, text_b: pyarrow string arrays of the source texts; None where left out or absent.
        kept: Further columns of the data, where some are to be kept; they have a file of their own.
    """

    input_ids: Ragged
    token_type_ids: Ragged | None
    labels: Array
    text_a: pa.Array | None = None
    text_b: pa.Array | None = None
    kept: pa.RecordBatch | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether each example has a label, bool [n]."""
        return has_label(self.labels)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each example, int64 [n]."""
        return np.diff(self.input_ids.offsets)

    def mixes(self, pairs: PairTable, pad_id: int) -> MixBatch:
        """Return the batch of mixes of the pairs, both sides padded on the right to one width."""
        left, right = pairs.left.astype(np.int64), pairs.right.astype(np.int64)
        left_lengths, right_lengths = self.input_ids.lengths(left), self.input_ids.lengths(right)
        width = int(max(left_lengths.max(), right_lengths.max()))
        position = np.arange(width)
        types = self.token_type_ids
        return MixBatch(
            left_ids=self.input_ids.padded(left, width, pad_id),
            right_ids=self.input_ids.padded(right, width, pad_id),
            left_types=None if types is None else types.padded(left, width, 0),
            right_types=None if types is None else types.padded(right, width, 0),
            left_mask=(position < left_lengths[:, None]).astype(np.int64),
            right_mask=(position < right_lengths[:, None]).astype(np.int64),
            lam=pairs.lam,
        )

    def originals(self, rows: npt.ArrayLike, pad_id: int) -> MixBatch:
        """Return the examples themselves, as mixes (i, i, 1)."""
        return self.mixes(PairTable.originals(rows), pad_id)

    def columns(self) -> dict[str, pa.Array | None]:
        """Return the columns as Arrow arrays over the same buffers, None where there is none."""
        ids, types = self.input_ids, self.token_type_ids
        return {
            "text_a": self.text_a,
            "text_b": self.text_b,
            "label": _label_array(self.labels),
            "input_ids": _list_array(ids),
            "token_type_ids": None if types is None else _list_array(types),
        }

    def to_bytes(self) -> bytes:
        """Return the Arrow IPC file of this split (columns: `docs/format.md`)."""
        return encode_batch(self._batch())

    def content(self) -> Content:
        """Return the same file as content that is written from the columns' own buffers."""
        return content_of(self._batch())

    def _batch(self) -> pa.RecordBatch:
        present = {name: column for name, column in self.columns().items() if column is not None}
        schema = _schema(list(present), present["label"].type)
        return pa.record_batch(list(present.values()), schema=schema)

    @classmethod
    def from_bytes(
        cls, data: Any, rows: int, problem_type: str, where: object, classes: int = 1
    ) -> Examples:
        """Decode an Arrow IPC file's bytes, which must outlive the examples; nothing is copied.

        Args:
            classes: C, the width of a row of labels for multi-label.

        Raises:
            MalformedError: If the bytes are anything but examples.
        """
        label_types = {
            CLASSIFICATION: pa.int64(),
            MULTI_LABEL: pa.list_(pa.int8(), classes),
            REGRESSION: pa.float32(),
        }
        schemas = [
            _schema([*texts, "label", "input_ids", *types], label_types[problem_type])
            for texts in (["text_a", "text_b"], ["text_a"], [])
            for types in (["token_type_ids"], [])
        ]
        batch = decode_batch(data, schemas, rows, where)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        return cls(
            input_ids=_ragged(columns["input_ids"]),
            token_type_ids=_ragged(columns["token_type_ids"])
            if "token_type_ids" in columns
            else None,
            labels=_labels(columns["label"], rows),
            text_a=columns.get("text_a"),
            text_b=columns.get("text_b"),
        )

    def check_values(self, classes: int, max_length: int, labelled: int, where: object) -> None:
        """Refuse what no builder writes: empty or too long rows, negative ids, labels outside the
        classes, more or fewer rows with a label than `labelled`."""
        flat, labels, types = self.input_ids.flat, self.labels, self.token_type_ids
        problems = {
            "tokens in every example": bool((self.lengths < 1).any()),
            f"at most {max_length} tokens in an example": bool((self.lengths > max_length).any()),
            "ids of at least 0": bool((flat < 0).any()),
            "one type for each id, of at least 0": types is not None
            and not (
                np.array_equal(types.offsets, self.input_ids.offsets) and (types.flat >= 0).all()
            ),
            "finite labels": bool(np.isinf(labels).any()),
            f"labels in [0, {classes - 1}], or -1 for none": labels.dtype == np.int64
            and not ((labels >= -1) & (labels < classes)).all(),
            "a 0 or 1 for each label, or -1 for all of them": labels.ndim == 2
            and not _are_sets(labels),
            f"{labelled} examples with a label, of {len(self)}": self.labelled.sum() != labelled,
        }
        for expected, wrong in problems.items():
            if wrong:
                raise MalformedError(
                    where,
                    expected=expected,
                    found="other values",
                    do="do not use this cache; build it again",
                )

    def ids_sha256(self) -> str:
        """Digest the ordered (input_ids, token_type_ids, label), rows framed by their length.

        Per row, little-endian: uint32 number of ids, the int32 ids, the int8 types where there are
        any, the label as int64 or float32, or each label of multi-label as int8.
        """
        digest = hashlib.sha256()
        for row in range(len(self)):
            ids = self.input_ids[row]
            digest.update(np.uint32(len(ids)).astype("<u4").tobytes())
            digest.update(ids.astype("<i4").tobytes())
            if self.token_type_ids is not None:
                digest.update(self.token_type_ids[row].astype("<i1").tobytes())
            digest.update(_little_endian(self.labels[row : row + 1]))
        return digest.hexdigest()

    def texts_sha256(self) -> str | None:
        """Digest the ordered (texts, label); None where the texts were left out."""
        if self.text_a is None:
            return None
        columns = (self.text_a,) if self.text_b is None else (self.text_a, self.text_b)
        return texts_sha256(columns, self.labels)


def has_label(labels: Array) -> npt.NDArray[np.bool_]:
    """Tell which rows have a label, bool [n]: NaN and, but for regression, -1 say that there is
    none. A row of multi-label without any of the labels has one: it says so."""
    if labels.ndim == 2:
        return has_label(labels[:, 0])
    found: npt.NDArray[np.bool_] = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
    return found


def texts_sha256(columns: Sequence[pa.StringArray], labels: Array) -> str:
    """Digest the ordered (texts, label): per text a uint32 length in bytes and its UTF-8."""
    digest = hashlib.sha256()
    for start in range(0, len(labels), ROWS_AT_ONCE):
        rows = [column.slice(start, ROWS_AT_ONCE).to_pylist() for column in columns]
        for row, parts in enumerate(zip(*rows, strict=True), start):
            for part in parts:
                encoded = part.encode()
                digest.update(len(encoded).to_bytes(4, "little") + encoded)
            digest.update(_little_endian(labels[row : row + 1]))
    return digest.hexdigest()


def _schema(columns: list[str], label: pa.DataType) -> pa.Schema:
    types = {
        "text_a": pa.utf8(),
        "text_b": pa.utf8(),
        "label": label,
        "input_ids": pa.list_(pa.int32()),
        "token_type_ids": pa.list_(pa.int8()),
    }
    return pa.schema([pa.field(name, types[name], nullable=False) for name in columns])


def _label_array(labels: Array) -> pa.Array:
    if labels.ndim == 1:
        return pa.array(labels)
    return pa.FixedSizeListArray.from_arrays(pa.array(labels.ravel()), labels.shape[1])


def _labels(column: pa.Array, rows: int) -> Array:
    """Return labels over the column's own buffer: [n], or [n, C] of lists."""
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=True))
    width = column.type.list_size
    return np.asarray(column.flatten().to_numpy(zero_copy_only=True).reshape(rows, width))


def _are_sets(labels: Array) -> bool:
    """Look whether each row of int8 [n, C] is of 0 and 1 alone, or of -1 alone."""
    lowest, highest = labels.min(axis=1), labels.max(axis=1)  # [n]
    return bool((((lowest >= 0) & (highest <= 1)) | ((lowest == -1) & (highest == -1))).all())


def _list_array(rows: Ragged) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(rows.offsets, pa.int32()), pa.array(rows.flat))


def _ragged(column: pa.ListArray) -> Ragged:
    """Make rows over the column's own buffers; wide offsets keep arithmetic from wrapping."""
    offsets = column.offsets.to_numpy().astype(np.int64)
    return Ragged(column.values.to_numpy(zero_copy_only=True), offsets)


def _little_endian(values: Array) -> bytes:
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
