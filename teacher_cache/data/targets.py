"""What labels mean: scores of a regression, or classes by number or by name.

Which of these it is follows the ecosystem's habit (`run_glue.py` and `run_classification.py` of
transformers look at the column's type): where nothing says otherwise, labels written as decimal
numbers ("3.0", a float column) are scores; integers are class numbers; anything else is a name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixkd.shared.errors import DataError, UsageError
from mixkd.teacher_cache.data.sources import Table

LABEL_OPTION, NAMES_OPTION = "--label-column", "--label-names"
UNLABELLED = "(no label)"


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a data set.

    Attributes:
        names: In the order of the class numbers.
        by_name: Whether the labels are these names, or else the numbers.
    """

    names: tuple[str, ...]
    by_name: bool

    def numbers(self, table: Table, label_column: str) -> npt.NDArray[np.int64]:
        """A split's labels as class numbers, int64 [n].

        Raises:
            DataError: On a label outside the classes, naming its row.
        """
        by_name = {name: number for number, name in enumerate(self.names)}
        numbers = []
        for row, value in enumerate(table.column(label_column, LABEL_OPTION), 1):
            number = by_name.get(_name(value)) if self.by_name else _integer(value)
            if number is None or not 0 <= number < len(self.names):
                raise _bad_label(table, label_column, row, value, self._described())
            numbers.append(number)
        return np.array(numbers, np.int64)

    def _described(self) -> str:
        shown = ", ".join(self.names[:6]) + (", …" if len(self.names) > 6 else "")
        kind = "the name" if self.by_name else "the number, from 0 on,"
        return f"{kind} of one of {len(self.names)} classes ({shown})"


def is_regression(tables: Iterable[Table], label_column: str) -> bool:
    """Whether all labels are numbers and some of them are written as decimals."""
    values = _values(tables, label_column)
    return all(_number(value) is not None for value in values) and not all(
        _integer(value) is not None for value in values
    )


def scores(table: Table, label_column: str) -> npt.NDArray[np.float32]:
    """A split's labels as scores of a regression, float32 [n].

    Raises:
        DataError: On a label that is no finite number.
    """
    numbers = []
    for row, value in enumerate(table.column(label_column, LABEL_OPTION), 1):
        number = _number(value)
        if number is None or not abs(number) <= np.finfo(np.float32).max:
            raise _bad_label(table, label_column, row, value, "a finite number")
        numbers.append(number)
    return np.array(numbers, np.float32)


def find_classes(tables: list[Table], label_column: str, given: tuple[str, ...]) -> Classes:
    """The classes given, or else those of the first table, the training rows.

    Names that are given may stand in the labels themselves or be numbered by them. Without names,
    integers 0 to C - 1 are their own names; other labels are names, numbered in sorted order.

    Raises:
        DataError: If there are fewer than two classes, or numbers with a gap.
    """
    train = tables[0]
    if given:
        _check_names(given)
        # By what most labels are, so that a single wrong one is named as such.
        values = _values(tables, label_column)
        names = sum(_name(value) in given for value in values)
        numbers = sum(_integer(value) is not None for value in values)
        classes = Classes(given, by_name=names >= numbers)
    else:
        classes = _classes_of(train, label_column)
    labels = train.column(label_column, LABEL_OPTION)
    if len(classes.names) < 2 or len(set(map(_name, labels))) < 2:
        raise DataError(
            f"{train.where}, column {label_column}",
            expected="rows of at least two classes",
            found=f"only {_name(labels[0])!r}",
            do=f"add rows of another class, or name another column with {LABEL_OPTION}",
        )
    return classes


def _check_names(given: tuple[str, ...]) -> None:
    if len(set(given)) != len(given) or "" in given:
        raise UsageError(
            NAMES_OPTION,
            expected="a different name for each class",
            found=",".join(given),
            do="mend the list",
        )


def _classes_of(train: Table, label_column: str) -> Classes:
    values = train.column(label_column, LABEL_OPTION)
    integers = {_integer(value) for value in values}
    if None in integers:
        return Classes(tuple(sorted({_name(value) for value in values} - {""})), by_name=True)
    found = sorted(number for number in integers if number is not None)
    if found != list(range(len(found))):
        unlabelled = f" {UNLABELLED}" if found[0] == -1 else ""
        raise DataError(
            f"{train.where}, column {label_column}",
            expected="class numbers from 0 on, without a gap",
            found=", ".join(map(str, found[:8])) + unlabelled,
            do=f"list the classes with {NAMES_OPTION}, or remove rows without a label",
        )
    return Classes(tuple(map(str, found)), by_name=False)


def _bad_label(
    table: Table, label_column: str, row: int, value: object, expected: str
) -> DataError:
    unlabelled = value is None or value == "" or _integer(value) == -1
    return DataError(
        f"{table.where}, row {row}, column {label_column}",
        expected=expected,
        found=f"{value!r} {UNLABELLED}" if unlabelled else repr(value)[:80],
        do="remove rows without a label"
        if unlabelled
        else f"mend the row, or see {NAMES_OPTION} and {LABEL_OPTION}",
    )


def _values(tables: Iterable[Table], label_column: str) -> list[object]:
    return [value for table in tables for value in table.column(label_column, LABEL_OPTION)]


def _name(value: object) -> str:
    return "" if value is None else str(value)


def _integer(value: object) -> int | None:
    """A whole number, or text that spells one; booleans count as 0 and 1."""
    if not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _number(value: object) -> float | None:
    if not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
