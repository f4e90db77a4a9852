"""`rows/<split>.arrow`: what `datasets.load_dataset` gives of a cache by default.

A row is an example with what was kept of the data beside it, and the teacher's answer to it. The
files follow from what a cache has before its first pair, so they are written once; no digest covers
them, and no reader of a cache needs them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from mixkd.shared import files, publish
from mixkd.shared.cache.dataset import label_column, logits_column
from mixkd.shared.cache.reader import Cache
from mixkd.shared.content import Content, Sink
from mixkd.shared.errors import MixkdError

ROWS = "rows"
BATCH_ROWS = 10_000
PART_BYTES = 2**20
DTYPES = {pa.float32(): "float32", pa.float64(): "float64"}  # whose names are not Arrow's


def rows_path(split: str) -> str:
    """Return the path of a split's file in the cache."""
    return f"{ROWS}/{split}.arrow"


def write_rows(cache: Cache) -> None:
    """Write the file of each split, unless it has this content already.

    Raises:
        UnsafeFileError: If a folder is in the place of a file, or a link in that of the folder.
        DiskError: If the disk refuses.
    """
    for split in cache.splits:
        if not has_rows(cache, split):
            publish.Root(cache.root).replace(
                rows_path(split), Content.of(partial(_put, cache, split))
            )


def _put(cache: Cache, split: str, sink: Sink) -> None:
    for part in rows(cache, split):
        sink.write(part)


def has_rows(cache: Cache, split: str) -> bool:
    """Look whether a split's file is as `write_rows` writes it."""
    try:
        with (
            files.opened(cache.root, rows_path(split)) as descriptor,
            open(descriptor, "rb", closefd=False) as stream,
        ):
            parts = rows(cache, split)
            return all(stream.read(len(part)) == part for part in parts) and not stream.read(1)
    except MixkdError:
        return False


def rows(cache: Cache, split: str) -> Iterator[bytes]:
    """Give the bytes of a split's file, an Arrow IPC file of uncompressed batches, in parts."""
    examples, logits = cache.examples(split), cache.logits(split)
    columns = {name: column for name, column in examples.columns().items() if column is not None}
    without = () if examples.text_a is None else ("input_ids", "token_type_ids")
    columns = {name: column for name, column in columns.items() if name not in without}
    if cache.header.columns:
        (kept,) = cache.columns(split).to_batches()
        columns |= dict(zip(kept.schema.names, kept.columns, strict=True))
    types = {name: column.type for name, column in columns.items()}
    types["label"] = label_column(examples.labels[:0]).type
    types["teacher_logits"] = logits_column(logits[:0]).type
    schema = pa.schema(types.items(), metadata=_features(types, cache.identity.label_names))
    sink = _Sink()
    with pa.ipc.new_file(sink, schema) as writer:
        for start in range(0, len(examples), BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            arrays = {name: column[part] for name, column in columns.items()}
            arrays["label"] = label_column(examples.labels[part])
            arrays["teacher_logits"] = logits_column(logits[part])
            writer.write_batch(pa.record_batch([*arrays.values()], schema))
            yield from sink.taken(PART_BYTES)
    yield from sink.taken(1)


class _Sink:
    """What Arrow writes a file into, taken from it piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._written = 0
        self._kept: list[bytes] = []

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._kept.append(piece)
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Keep it: it is taken from memory."""

    def taken(self, at_least_bytes: int) -> Iterator[bytes]:
        """Give what was written since the last time, if it is as much."""
        part = b"".join(self._kept)
        self._kept = [part]
        if len(part) >= at_least_bytes:
            self._kept = []
            yield part


def _features(types: dict[str, pa.DataType], label_names: Sequence[str]) -> dict[str, str]:
    """Describe the columns as `datasets` does in a schema: names of classes are stored there."""
    features = {name: _feature(kind) for name, kind in types.items()}
    one = {"names": list(label_names), "_type": "ClassLabel"}
    if label_names and pa.types.is_integer(types["label"]):
        features["label"] = one
    if pa.types.is_list(types["label"]):
        features["label"] = {"feature": one, "_type": "List"}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def _feature(kind: Any) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        item = _feature(kind.value_type)
        return {"feature": item, "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    return {"dtype": DTYPES.get(kind, str(kind)), "_type": "Value"}
