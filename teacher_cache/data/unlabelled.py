"""Texts without labels: train data that have none, and what `--unlabelled` adds to train."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.data.columns import LABEL_OPTION, WELL_KNOWN_LABEL, WELL_KNOWN_TEXTS
from mixkd.shared.data.sources import Source, Table
from mixkd.shared.data.texts import texts
from mixkd.shared.errors import DataError
from mixkd.teacher_cache.data.splits import TextSplit
from mixkd.teacher_cache.data.tasks import Task

if TYPE_CHECKING:
    import pyarrow as pa

    from mixkd.shared.data.objects import AnyData

log = logging.getLogger(__name__)
OPTION = "--unlabelled"
REST = "rest"  # what --subset leaves out, without its labels


def labelled_tables(tables: Sequence[Table], label_column: str) -> list[Table]:
    """Return the tables that labels are read from: all, or all but a train without that column.

    Raises:
        DataError: If no table has the column.
    """
    if any(label_column in table.columns for table in tables):
        train, *others = tables
        return [train, *others] if label_column in train.columns else others
    raise DataError(
        tables[0].where,
        expected=f"a column {label_column!r}",
        found=f"the columns {tables[0].listed}",
        do=f"name the right one with {LABEL_OPTION}; rows of train may lack it, beside labelled "
        "rows for validation",
    )


def with_labels(tables: Sequence[Table], wanted: str | None, task: Task | None) -> Table:
    """Choose the table whose columns say which are texts and labels: train, unless it alone lacks
    the column of labels."""
    name = wanted or (task.label_column if task else WELL_KNOWN_LABEL)
    others = [table for table in tables[1:] if name in table.columns]
    return others[0] if others and name not in tables[0].columns else tables[0]


def no_labels(rows: int, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the labels of rows that have none, of the kind of others: -1, or NaN for numbers."""
    missing = np.nan if like.dtype.kind == "f" else -1
    return np.full((rows, *like.shape[1:]), missing, like.dtype)


def unlabelled(split: TextSplit) -> TextSplit:
    """Return the split without its labels."""
    labels = no_labels(len(split), split.labels)
    return TextSplit(split.text_a, split.text_b, labels, kept=split.kept)


def read_unlabelled(
    given: Iterable[AnyData],
    read: Callable[[AnyData], Source],
    columns: tuple[str, ...],
    labels: npt.NDArray[Any],
) -> list[TextSplit]:
    """Read the rows of each place that `--unlabelled` names, its train split where it has several.

    Args:
        read: Reads what `--data` takes.
        columns: The text columns of train.
        labels: Train's, of whose kind those of these rows are.

    Raises:
        DataError: If a place has no such texts.
    """
    found = []
    for place in given:
        source = read(place)
        table = source.tables["train"]
        names = texts_like(table, columns)
        text_a, text_b = read_texts(table, names, may_be_empty=source.published)
        split = TextSplit(text_a, text_b, no_labels(len(table), labels))
        log.info("%s: %d rows without labels", table.where, len(split))
        found.append(split)
    return found


def texts_like(table: Table, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Choose a table's text columns: train's names, else well-known ones, as many as train has.

    Raises:
        DataError: If the table has none such, or no rows.
    """
    table.check_has_rows()
    known = [names for names in WELL_KNOWN_TEXTS if len(names) == len(columns)]
    for names in (columns, *known):
        if {*names} <= {*table.columns}:
            return names
    raise DataError(
        table.where,
        expected=f"the text columns of train ({' + '.join(columns)}), or well-known ones",
        found=f"the columns {table.listed}",
        do="rename its columns",
    )


def read_texts(
    table: Table, names: tuple[str, ...], *, may_be_empty: bool = False
) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
    """Read one or two columns of texts; the second is None where there is one."""
    empty = may_be_empty and len(names) == 2
    text_a, *rest = (texts(table, name, may_be_empty=empty) for name in names)
    return text_a, rest[0] if rest else None


def without_leaks(added: TextSplit, splits: dict[str, TextSplit], what: str) -> TextSplit:
    """Leave out, and say so, rows whose texts are validation texts: a student would learn those."""
    known = {key for name, split in splits.items() if name != "train" for key in _keys(split)}
    kept = np.array([row for row, key in enumerate(_keys(added)) if key not in known], np.int64)
    dropped = len(added) - len(kept)
    if dropped:
        log.warning("%s: %d rows left out, whose texts are in validation", what, dropped)
    return added.take(kept)


def joined(splits: Sequence[TextSplit]) -> TextSplit:
    """Return the rows of all splits, one after the other."""
    first = splits[0]
    text_b = None
    if first.text_b is not None:
        text_b = _texts([split.text_b for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    text_a = _texts([split.text_a for split in splits])
    return TextSplit(text_a, text_b, labels, kept=_kept(splits))


def _texts(columns: Sequence[Any]) -> pa.ChunkedArray:
    import pyarrow as pa

    arrays = [c.chunks if isinstance(c, pa.ChunkedArray) else [c] for c in columns]
    return pa.chunked_array([chunk for chunks in arrays for chunk in chunks], pa.utf8())


def _kept(splits: Sequence[TextSplit]) -> pa.Table | None:
    """Put kept columns together; rows from elsewhere have none, which is null."""
    import pyarrow as pa

    schema = next((split.kept.schema for split in splits if split.kept is not None), None)
    if schema is None:
        return None
    return pa.concat_tables(
        pa.table({f.name: pa.nulls(len(split), f.type) for f in schema}, schema=schema)
        if split.kept is None
        else split.kept
        for split in splits
    )


def _keys(split: TextSplit) -> Iterable[tuple[str, ...]]:
    columns = (split.text_a,) if split.text_b is None else (split.text_a, split.text_b)
    return zip(*(column.to_pylist() for column in columns), strict=True)
