"""Choose the columns of texts and of labels in rows that a finished student is given."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mixkd.shared.data.columns import LABEL_OPTION, check_number_of_texts, choose_texts
from mixkd.shared.data.sources import Row
from mixkd.shared.data.texts import check_text
from mixkd.shared.errors import DataError
from mixkd.shared.label_lists import flag_columns, flagged
from mixkd.student_train.finished.rows import Rows

log = logging.getLogger(__name__)
LABELS = ("label", "labels")


def label_column(rows: Rows, wanted: str | None, known: Callable[[str, object], bool]) -> str:
    """Choose the column of labels: the one asked for, one called `label`, or the only one of which
    all values are labels of the model. Several that were asked for, of 0 and 1, stay one name.

    Args:
        known: Column and value -> whether the value is a label.

    Raises:
        DataError: If there is none, or more than one.
    """
    if wanted is not None:
        for name in flag_columns(wanted, rows.columns) or (wanted,):
            rows.table.check_has(name, LABEL_OPTION)
        return wanted
    for name in LABELS:
        if name in rows.columns:
            return name
    sample = rows.sample
    possible = [name for name in rows.columns if all(known(name, row[name]) for row in sample)]
    if len(possible) == 1:
        log.info("%s: label column: %s", rows.where, possible[0])
        return possible[0]
    raise DataError(
        rows.where,
        expected="one column of labels that the model knows",
        found=f"{', '.join(possible) or 'none'} among the columns {rows.table.listed}",
        do=f"name the right one with {LABEL_OPTION}",
    )


def labels_of(rows: list[Row], column: str, where: str) -> list[object]:
    """Take the labels of the column; of several columns of 0 and 1 the names of those with a 1.

    Raises:
        DataError: On a value that is not 0 or 1, naming its row.
    """
    names = flag_columns(column, rows[0])
    if not names:
        return [row.get(column) for row in rows]
    return [
        flagged(names, [row.get(name) for name in names], f"{where}, row {number}")
        for number, row in enumerate(rows, 1)
    ]


def text_columns(rows: Rows, wanted: tuple[str, ...], label: str | None) -> tuple[str, ...]:
    """Choose one or two columns of texts, as for a cache.

    Raises:
        DataError: If there is none, or more than one.
        UsageError: If more than two are asked for.
    """
    check_number_of_texts(wanted)
    return choose_texts(rows.table, wanted, label)


def texts_of(rows: list[Row], columns: tuple[str, ...], where: str, first: int) -> list[list[str]]:
    """Take the texts, one list per column.

    Args:
        first: The number of the first row in the table, from 1 on, for messages.

    Raises:
        DataError: On a value that is not a text, naming its row.
    """
    for number, row in enumerate(rows, first):
        for name in columns:
            place = f"{where}, row {number}, column {name}"
            check_text(row.get(name), place, may_be_empty=True)
    return [[str(row[name]) for row in rows] for name in columns]
