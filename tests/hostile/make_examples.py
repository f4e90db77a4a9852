"""Hostile caches by the tables of examples: offsets beyond their numbers, ids and labels that no
builder writes; see `tests/hostile/make.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.hostile.make_arrow import MALFORMED, UNSAFE, ipc
from tests.hostile.registry import hostile, register_as
from tests.hostile.sign import sign


def put_examples(root: Path, name: str, values: pa.Array | None, **options: Any) -> bytes:
    """Another column in the train examples; their new content."""
    file = "examples/train.arrow"
    batch = pa.ipc.open_file(pa.py_buffer((root / file).read_bytes())).get_batch(0)
    if values is not None:
        columns = [
            values if field.name == name else column
            for field, column in zip(batch.schema, batch.columns, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=batch.schema)
    data = ipc(batch, **options)
    sign(root, {file: data})
    return data


VALID = [3 * row for row in range(21)]


def put_offsets(root: Path, name: str, offsets: list[int]) -> None:
    """Twenty rows of three elements each, whose offsets are then exchanged for others."""
    columns = {
        "input_ids": pa.array([[1, 2, 3]] * 20, pa.list_(pa.int32())),
        "token_type_ids": pa.array([[0, 0, 1]] * 20, pa.list_(pa.int8())),
        "text_a": pa.array(["abc"] * 20),
    }
    data = put_examples(root, name, columns[name])
    old, new = (np.array(numbers, "<i4").tobytes() for numbers in (VALID, offsets))
    if data.count(old) != 1:
        raise ValueError("the offsets are not where they were expected")
    sign(root, {"examples/train.arrow": data.replace(old, new)})


OFFSETS = {
    "beyond_the_end": [*VALID[:-1], 2**30],
    "beyond_the_end_throughout": [row * 2**20 for row in range(21)],
    "negative": [-3, *VALID[1:]],
    "all_negative": [-(2**31), *[-1] * 20],
    "backwards": [0, 30, 3, *VALID[3:]],
    "not_from_zero": [2**20, *VALID[1:]],
}
for key, offsets in OFFSETS.items():
    for column_name in ("input_ids", "token_type_ids", "text_a"):
        register_as(
            f"examples_{column_name}_offsets_{key}",
            "arrow",
            (MALFORMED,),
            lambda root, bait, c=column_name, o=offsets: put_offsets(root, c, o),
        )

EXAMPLES: dict[str, tuple[str, Callable[[], pa.Array]]] = {
    "rows_empty": ("input_ids", lambda: pa.array([[]] * 20, pa.list_(pa.int32()))),
    "ids_negative": ("input_ids", lambda: pa.array([[1, -1]] * 20, pa.list_(pa.int32()))),
    "types_negative": ("token_type_ids", lambda: pa.array([[-1]] * 20, pa.list_(pa.int8()))),
    "types_of_other_lengths": ("token_type_ids", lambda: pa.array([[0]] * 20, pa.list_(pa.int8()))),
    "labels_beyond_the_classes": ("label", lambda: pa.array([3] * 20, pa.int64())),
    "labels_below_none": ("label", lambda: pa.array([-2] * 20, pa.int64())),
    "labels_fewer_than_said": ("label", lambda: pa.array([-1] * 20, pa.int64())),
}
for key, (column_name, values) in EXAMPLES.items():
    register_as(
        f"examples_{key}",
        "arrow",
        (MALFORMED,),
        lambda root, bait, c=column_name, v=values: put_examples(root, c, v()),
    )


@hostile("arrow", MALFORMED)
def examples_text_invalid(root: Path, bait: Path) -> None:
    """Bytes that are no UTF-8."""
    data = put_examples(root, "text_a", pa.array(["abc"] * 20))
    sign(root, {"examples/train.arrow": data.replace(b"abcabc", b"\xff" * 6)})


@hostile("arrow", UNSAFE)
def examples_compressed(root: Path, bait: Path) -> None:
    put_examples(root, "", None, compression="zstd")


@hostile("arrow", MALFORMED)
def examples_of_more_rows(root: Path, bait: Path) -> None:
    """Every row twice, all of them valid."""
    batch = pa.ipc.open_file(root / "examples/train.arrow").get_batch(0)
    twice = batch.take(pa.array([*range(20), *range(20)]))
    sign(root, {"examples/train.arrow": ipc(twice)})


@hostile("arrow", MALFORMED)
def examples_of_labels_alone(root: Path, bait: Path) -> None:
    batch = pa.record_batch({"label": pa.array(np.zeros(20, np.int64))})
    sign(root, {"examples/train.arrow": ipc(batch)})
