"""A cache as data sets of the `datasets` library, over the very buffers that were checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.examples import Examples, has_label
from mixkd.shared.pairs import PairTable

if TYPE_CHECKING:
    import datasets


def split_dataset(
    examples: Examples,
    logits: npt.NDArray[Any],
    label_names: Sequence[str],
    kept: pa.Table | None = None,
) -> datasets.Dataset:
    """Return a split without copying a column.

    The columns are those of the examples (`text_a`, `text_b`, `label` as `ClassLabel`, `input_ids`,
    `token_type_ids`, as far as the cache has them), those of the data that were kept, and
    `teacher_logits`, C numbers per row. A row without a label has -1 there, or NaN for
    regression. For multi-label, `label` is a copy: a list of classes, None where there is none.
    """
    columns = {name: column for name, column in examples.columns().items() if column is not None}
    columns["label"] = label_column(examples.labels)
    further = {} if kept is None else dict(zip(kept.column_names, kept.columns, strict=True))
    return _dataset({**columns, **further, "teacher_logits": logits_column(logits)}, label_names)


def pairs_dataset(shards: Sequence[PairTable]) -> datasets.Dataset:
    """Return pairs as `left`, `right`, `lam` and `teacher_logits`, one chunk per shard."""
    columns = {
        name: pa.chunked_array([pa.array(getattr(shard, name)) for shard in shards])
        for name in ("left", "right", "lam")
    }
    logits = pa.chunked_array([logits_column(shard.known_logits) for shard in shards])
    return _dataset({**columns, "teacher_logits": logits}, ())


def _dataset(columns: dict[str, Any], label_names: Sequence[str]) -> datasets.Dataset:
    import datasets
    from datasets.table import InMemoryTable

    table = pa.table(columns)
    features = datasets.Features.from_arrow_schema(table.schema)
    if label_names and "label" in features:
        one: Any = datasets.ClassLabel(names=list(label_names))
        several = pa.types.is_list(table.schema.field("label").type)
        features["label"] = datasets.Sequence(one) if several else one
    return datasets.Dataset(InMemoryTable(table), info=datasets.DatasetInfo(features=features))


def label_column(labels: npt.NDArray[Any]) -> pa.Array:
    """Return labels as `datasets` has them: of multi-label [n, C] a list of classes per row."""
    if labels.ndim == 1:
        return pa.array(labels)
    rows, classes = np.nonzero(labels > 0)
    offsets = np.searchsorted(rows, np.arange(len(labels) + 1)).astype(np.int32)  # [n + 1]
    without = pa.array(~has_label(labels))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(classes, pa.int64()), mask=without)


def logits_column(logits: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    """Return logits [n, C] as one list of C per row."""
    return pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1])
