"""A cache as data sets of the `datasets` library, over the very buffers that were checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.examples import Examples
from mixkd.shared.pairs import PairTable

if TYPE_CHECKING:
    import datasets


def split_dataset(
    examples: Examples, logits: npt.NDArray[Any], label_names: Sequence[str]
) -> datasets.Dataset:
    """Return a split without copying a column.

    The columns are those of the examples (`text_a`, `text_b`, `label` as `ClassLabel`, `input_ids`,
    `token_type_ids`, as far as the cache has them) and `teacher_logits`, C numbers per row.
    """
    columns = {name: column for name, column in examples.columns().items() if column is not None}
    return _dataset({**columns, "teacher_logits": _lists(logits)}, label_names)


def pairs_dataset(shards: Sequence[PairTable]) -> datasets.Dataset:
    """Return pairs as `left`, `right`, `lam` and `teacher_logits`, one chunk per shard."""
    columns = {
        name: pa.chunked_array([pa.array(getattr(shard, name)) for shard in shards])
        for name in ("left", "right", "lam")
    }
    logits = pa.chunked_array([_lists(shard.known_logits) for shard in shards])
    return _dataset({**columns, "teacher_logits": logits}, ())


def _dataset(columns: dict[str, Any], label_names: Sequence[str]) -> datasets.Dataset:
    import datasets
    from datasets.table import InMemoryTable

    table = pa.table(columns)
    features = datasets.Features.from_arrow_schema(table.schema)
    if label_names and "label" in features:
        features["label"] = datasets.ClassLabel(names=list(label_names))
    return datasets.Dataset(InMemoryTable(table), info=datasets.DatasetInfo(features=features))


def _lists(logits: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    """Return logits [n, C] as one list of C per row."""
    return pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1])
