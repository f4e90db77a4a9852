"""A cache as data sets of the `datasets` library, over the very buffers that were checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mixkd.shared.errors import UsageError

if TYPE_CHECKING:
    import datasets

    from mixkd.shared.cache.reader import Cache

PAIRS = "pairs"


def to_dataset(cache: Cache, name: str) -> datasets.Dataset:
    """Return a split, or the pairs, as a `datasets.Dataset` without copying a column.

    A split has the columns of its examples (`text_a`, `text_b`, `label` as `ClassLabel`,
    `input_ids`, `token_type_ids`, as far as the cache has them) and `teacher_logits`
    [C] per row. Pairs have `left`, `right`, `lam` and `teacher_logits`.

    Raises:
        UsageError: If there is no such split.
    """
    import datasets
    from datasets.table import InMemoryTable

    if name != PAIRS and name not in cache.splits:
        raise UsageError(
            "to_dataset",
            expected=f"one of {', '.join((*cache.splits, PAIRS))}",
            found=name,
            do="choose one of these",
        )
    table = _pairs(cache) if name == PAIRS else _split(cache, name)
    features = datasets.Features.from_arrow_schema(table.schema)
    if cache.identity.label_names and "label" in features:
        features["label"] = datasets.ClassLabel(names=list(cache.identity.label_names))
    return datasets.Dataset(InMemoryTable(table), info=datasets.DatasetInfo(features=features))


def _split(cache: Cache, split: str) -> pa.Table:
    columns = {
        name: column
        for name, column in cache.examples(split).columns().items()
        if column is not None
    }
    return pa.table({**columns, "teacher_logits": _lists(cache.logits(split))})


def _pairs(cache: Cache) -> pa.Table:
    """One chunk per shard: each column is a view of the shard's bytes."""
    shards = [cache.read(record) for record in cache.pair_records]
    names = {"left": "left", "right": "right", "lam": "lam", "logits": "teacher_logits"}
    if not shards:
        empty = cache.pairs()
        shards = [
            {name: getattr(empty, name) for name in names},
        ]
    return pa.table(
        {
            shown: pa.chunked_array(
                [
                    _lists(shard[name]) if name == "logits" else pa.array(shard[name])
                    for shard in shards
                ]
            )
            for name, shown in names.items()
        }
    )


def _lists(logits: Any) -> pa.FixedSizeListArray:
    """Logits [n, C] as one list of C per row."""
    return pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1])
