"""Texts that come from a train example, such as paraphrases and back-translations: `--augmented`.

A file of them has train's text columns, `source`, which says what each comes from, and, if it
likes, a label. A source is a row of train, counted from 0, or what train has in `--id-column`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared import files
from mixkd.shared.arrays import Indices
from mixkd.shared.data.files import read_file
from mixkd.shared.data.sources import Table
from mixkd.shared.errors import DataError
from mixkd.teacher_cache.data.splits import TextSplit
from mixkd.teacher_cache.data.unlabelled import read_texts, texts_like

log = logging.getLogger(__name__)
OPTION, ID_OPTION = "--augmented", "--id-column"
SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Originals:
    """The train rows that augmented texts may come from.

    Attributes:
        ids: Of each row of the table, in `--id-column`; None counts rows.
        labels: Of each row of the table, as in `TextSplit`.
        used: The rows that are trained on: not held out, and in the subset.
        columns: The text columns.
        label_column: Which an augmented file may have too.
        read_labels: Reads that column of a table.
    """

    ids: Sequence[str] | None
    labels: npt.NDArray[Any]
    used: Indices
    columns: tuple[str, ...]
    label_column: str
    read_labels: Callable[[Table], npt.NDArray[Any]]


def read_augmented(file: str | Path, originals: Originals) -> TextSplit:
    """Read a file's texts with the labels of their sources.

    Texts whose source is not trained on are left out, so that none leads from validation to train.

    Raises:
        DataError: Naming a row whose source does not exist, or whose label is not its source's.
    """
    if not files.exists(Path(file)):
        raise DataError(file, expected="a file", found="none", do=f"check {OPTION} for a typo")
    table = read_file(Path(file))
    names = texts_like(table, originals.columns)
    text_a, text_b = read_texts(table, names)
    sources = _sources(table, originals)  # [rows]
    labels = originals.labels[sources]
    _check_labels(table, labels, originals)
    split = TextSplit(text_a, text_b, labels)
    kept = np.flatnonzero(np.isin(sources, originals.used))
    log.info(
        "%s: %d of %d augmented texts used; the sources of the others are held out or left out",
        *(table.where, len(kept), len(split)),
    )
    return split.take(kept)


def _sources(table: Table, originals: Originals) -> Indices:
    """Find the train row that each text comes from, int64 [rows]."""
    values = table.column(SOURCE, OPTION)
    last = len(originals.labels) - 1
    known: Sequence[object] = range(last + 1) if originals.ids is None else originals.ids
    rows = {str(value): row for row, value in enumerate(known)}
    found = [rows.get(str(value)) for value in values]
    if None in found:
        row = found.index(None)
        raise DataError(
            f"{table.where}, row {row + 1}, column {SOURCE}",
            expected=f"a row number of train, from 0 to {last}"
            if originals.ids is None
            else f"a value of train's {ID_OPTION}",
            found=repr(values[row])[:80],
            do=f"correct the row, or name train's column of ids with {ID_OPTION}",
        )
    return np.array(found, np.int64)


def read_ids(train: Table, id_column: str) -> list[str]:
    """Read a column of ids, each a different one."""
    ids = list(map(str, train.column(id_column, ID_OPTION)))
    first = {value: row for row, value in reversed([*enumerate(ids)])}
    if len(first) < len(ids):
        row = next(row for row, value in enumerate(ids) if first[value] < row)
        raise DataError(
            f"{train.where}, row {row + 1}, column {id_column}",
            expected="a different id in each row",
            found=f"{ids[row][:40]!r} again",
            do=f"name a column of ids with {ID_OPTION}, or leave it out to count rows",
        )
    return ids


def _check_labels(table: Table, labels: npt.NDArray[Any], originals: Originals) -> None:
    """Compare the file's own labels, if it has any, with those of the sources."""
    if originals.label_column not in table.columns:
        return
    own = originals.read_labels(table)
    unlike = ~np.isclose(own, labels, rtol=1e-6, atol=0, equal_nan=True)  # [n], or [n, C]
    different = np.flatnonzero(unlike.reshape(len(unlike), -1).any(axis=1))
    if len(different):
        row = int(different[0])
        raise DataError(
            f"{table.where}, row {row + 1}, column {originals.label_column}",
            expected=f"the label of its source, {_shown(labels[row])}",
            found=_shown(own[row]),
            do="correct the label or the source, or remove the column: the source's label counts",
        )


def _shown(label: Any) -> str:
    if label.ndim:
        return str(np.flatnonzero(label > 0).tolist()) if label[0] >= 0 else "none"
    return "none" if label == -1 or label != label else f"{label:g}"
