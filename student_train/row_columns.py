"""Choose the columns of texts and of labels in rows that a finished student is given."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mixkd.shared.errors import DataError
from mixkd.shared.label_lists import flag_columns, flagged
from mixkd.student_train.row_formats import Row
from mixkd.student_train.rows import Rows

log = logging.getLogger(__name__)
TEXT_OPTION, LABEL_OPTION = "--text-columns", "--label-column"
LABELS = ("label", "labels")
WELL_KNOWN_TEXTS = (
    ("text_a", "text_b"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("sentence",),
    ("text",),
)


def label_column(rows: Rows, wanted: str | None, known: Callable[[str, object], bool]) -> str:
    """Choose the column of labels: the one asked for, one called `label`, or the only one of which
    all values are labels. Several that were asked for, of 0 and 1, stay one name.

    Args:
        known: Column and value -> whether the value is a label.

    Raises:
        DataError: If there is none, or more than one.
    """
    if wanted is not None:
        for name in flag_columns(wanted, rows.columns) or (wanted,):
            _existing(rows, name, LABEL_OPTION)
        return wanted
    for name in LABELS:
        if name in rows.columns:
            return name
    possible = [
        name for name in rows.columns if all(known(name, row.get(name)) for row in rows.sample)
    ]
    if len(possible) == 1:
        log.info("%s: labels from column %s", rows.where, possible[0])
        return possible[0]
    raise DataError(
        rows.where,
        expected="one column of labels that the model knows",
        found=f"{', '.join(possible) or 'none'} among the columns {', '.join(rows.columns)}",
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
    """Choose one or two columns of texts: those asked for, those of usual names, or the only one
    that holds more than single words.

    Raises:
        DataError: If there is none, or more than one.
    """
    if wanted:
        if len(wanted) > 2:
            raise DataError(
                rows.where,
                expected=f"one or two {TEXT_OPTION}",
                found=", ".join(wanted),
                do="a model reads one text or a pair of texts",
            )
        return tuple(_existing(rows, name, TEXT_OPTION) for name in wanted)
    for names in WELL_KNOWN_TEXTS:
        if {*names} <= {*rows.columns}:
            return names
    texts = [name for name in rows.columns if name != label and _is_text(rows.sample, name)]
    if len(texts) == 1:
        log.info("%s: texts from column %s", rows.where, texts[0])
        return (texts[0],)
    raise DataError(
        rows.where,
        expected="one or two columns of texts",
        found=f"{', '.join(texts) or 'none'} among the columns {', '.join(rows.columns)}",
        do=f"name them with {TEXT_OPTION}",
    )


def texts_of(rows: list[Row], columns: tuple[str, ...], where: str, first: int) -> list[list[str]]:
    """Take the texts, one list per column.

    Args:
        first: The number of the first row in the table, from 1 on, for messages.

    Raises:
        DataError: On a value that is not a text, naming its row.
    """
    for number, row in enumerate(rows, first):
        for name in columns:
            value = row.get(name)
            if not isinstance(value, str):
                raise DataError(
                    f"{where}, row {number}, column {name}",
                    expected="text",
                    found="nothing" if value is None else f"{type(value).__name__} {value!r}"[:60],
                    do=f"correct the row, or choose different columns with {TEXT_OPTION}",
                )
    return [[str(row[name]) for row in rows] for name in columns]


def _existing(rows: Rows, name: str, option: str) -> str:
    if name not in rows.columns:
        raise DataError(
            rows.where,
            expected=f"a column {name!r}",
            found=f"the columns {', '.join(rows.columns)}",
            do=f"name the right one with {option}",
        )
    return name


def _is_text(sample: tuple[Row, ...], name: str) -> bool:
    """Tell whether a column holds texts, and some of more than a word."""
    values = [row.get(name) for row in sample]
    return all(isinstance(value, str) for value in values) and any(
        " " in str(value).strip() or not str(value).isascii() for value in values
    )
