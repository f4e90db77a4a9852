"""Read labels: as scores of a regression, or as classes by number or by name.

Rows of several classes are in `label_sets`, which builds on this.

Which of these it is follows the ecosystem's habit (`run_glue.py` and `run_classification.py` of
transformers look at the column's type): where nothing says otherwise, labels written as decimal
numbers ("3.0", a float column) are scores; integers are class numbers; anything else is a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mixkd.shared.data.columns import LABEL_OPTION
from mixkd.shared.data.sources import Table
from mixkd.shared.data.texts import HALF_A_CHARACTER, has_half_a_character
from mixkd.shared.errors import DataError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.shared.options import check

NAMES_OPTION = "--label-names"
UNLABELLED = "(no label)"
Labels = npt.NDArray[Any]
NAME_LIMIT_CHARACTERS = 1000  # what is longer is a text that was taken for a label


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a data set.

    Attributes:
        names: In the order of the class numbers.
        by_name: Whether the labels are these names, or else the numbers.
    """

    names: tuple[str, ...]
    by_name: bool
    problem_type: ClassVar[str] = CLASSIFICATION

    @property
    def none(self) -> Labels:
        """Labels of no row."""
        return np.empty(0, np.int64)

    def read(self, table: Table, label_column: str) -> Labels:
        """Convert a split's labels to class numbers, int64 [n].

        Raises:
            DataError: On a label outside the classes, naming its row.
        """
        return np.array(
            converted(
                table,
                label_column,
                labels_of(table, label_column),
                self.converter(),
                expected=f"{self.kind} of one of {self.listed}",
            ),
            np.int64,
        )

    def converter(self) -> Callable[[object], int | None]:
        """Return what converts one label to its number; None where it is outside the classes."""
        by_name = {name: number for number, name in enumerate(self.names)}

        def number_of(value: object) -> int | None:
            number = by_name.get(_name(value)) if self.by_name else _integer(value)
            return None if number is None or not 0 <= number < len(self.names) else number

        return number_of

    @property
    def kind(self) -> str:
        """What labels are, for messages."""
        return "the name" if self.by_name else "the number, from 0 on,"

    @property
    def listed(self) -> str:
        """The classes, for messages."""
        shown = ", ".join(self.names[:6]) + (", …" if len(self.names) > 6 else "")
        return f"{len(self.names)} classes ({shown})"


@dataclass(frozen=True, slots=True)
class Scores:
    """The numbers of a regression."""

    problem_type: ClassVar[str] = REGRESSION
    names: ClassVar[tuple[str, ...]] = ()

    @property
    def none(self) -> Labels:
        """Labels of no row."""
        return np.empty(0, np.float32)

    def read(self, table: Table, label_column: str) -> Labels:
        """Convert a split's labels to scores, float32 [n].

        Raises:
            DataError: On a label that is not a finite number.
        """
        largest = float(np.finfo(np.float32).max)

        def score_of(value: object) -> float | None:
            number = _number(value)
            return number if number is not None and abs(number) <= largest else None

        values = labels_of(table, label_column)
        found = converted(table, label_column, values, score_of, expected="a finite number")
        return np.array(found, np.float32)


def is_regression(tables: Iterable[Table], label_column: str) -> bool:
    """Say whether all labels are numbers and some of them are written as decimals."""
    values = _values(tables, label_column)
    return None not in map(_number, values) and None in map(_integer, values)


def find_classes(tables: list[Table], label_column: str, given: tuple[str, ...]) -> Classes:
    """Take the classes given, or else those of the first table, the training rows.

    Names that are given may stand in the labels themselves or be numbered by them. Without names,
    integers 0 to C - 1 are their own names; other labels are names, numbered in sorted order.

    Raises:
        DataError: If there are fewer than two classes, more than a cache holds, or numbers with a
            gap.
        UsageError: If two of the names are equal.
    """
    from mixkd.shared.cache.header import CLASSES_LIMIT  # which imports pyarrow

    train = tables[0]
    labels = labels_of(train, label_column)
    if given:
        check(
            NAMES_OPTION,
            ",".join(given),
            len({*given}) == len(given) and all(n and not has_half_a_character(n) for n in given),
            expected="a different name for each class, in whole characters",
            do="correct the list",
        )
        # By what most labels are, so that a single wrong one is named as such.
        values = _values(tables, label_column)
        known = {*given}
        names = sum(_name(value) in known for value in values)
        numbers = sum(_integer(value) is not None for value in values)
        classes = Classes(given, by_name=names >= numbers)
    else:
        classes = _classes_of(labels, f"{train.where}, column {label_column}")
    if len(classes.names) < 2 or len(set(map(_name, labels))) < 2:
        raise DataError(
            f"{train.where}, column {label_column}",
            expected="rows of at least two classes",
            found=f"only {_name(labels[0])!r}",
            do=f"add rows of another class, or name a different column with {LABEL_OPTION}",
        )
    if len(classes.names) > CLASSES_LIMIT:
        raise DataError(
            f"{train.where}, column {label_column}",
            expected=f"at most {CLASSES_LIMIT} classes",
            found=len(classes.names),
            do=f"name the column of labels with {LABEL_OPTION}",
        )
    return classes


def _classes_of(labels: Iterable[object], where: str) -> Classes:
    integers = {_integer(label) for label in labels}
    if None in integers:
        return Classes(tuple(sorted({_name(label) for label in labels} - {""})), by_name=True)
    numbers = sorted(number for number in integers if number is not None)
    if numbers != list(range(len(numbers))):
        unlabelled = f" {UNLABELLED}" if numbers[0] == -1 else ""
        raise DataError(
            where,
            expected="class numbers from 0 on, without a gap",
            found=", ".join(map(str, numbers[:8])) + unlabelled,
            do=f"list the classes with {NAMES_OPTION}, or remove rows without a label",
        )
    return Classes(tuple(map(str, numbers)), by_name=False)


def converted(
    table: Table,
    label_column: str,
    labels: Sequence[object],
    convert: Callable[[object], Any],
    expected: str,
) -> list[Any]:
    """Convert each row's label, and name the first row where `convert` gives None."""
    found = [convert(label) for label in labels]
    if None not in found:
        return found
    row = found.index(None)
    label = labels[row]
    unlabelled = label is None or label == "" or _integer(label) == -1
    raise DataError(
        f"{table.where}, row {row + 1}, column {label_column}",
        expected=expected,
        found=f"{label!r} {UNLABELLED}" if unlabelled else repr(label)[:80],
        do="remove rows without a label; those of train may stand in a file for --unlabelled"
        if unlabelled
        else f"correct the row, or see {NAMES_OPTION} and {LABEL_OPTION}",
    )


def _values(tables: Iterable[Table], label_column: str) -> list[object]:
    return [value for table in tables for value in labels_of(table, label_column)]


def labels_of(table: Table, label_column: str) -> Sequence[object]:
    """Return a split's labels, each a short text, a number, a truth value or None.

    Raises:
        DataError: Naming the first row of something else.
    """
    labels = table.column(label_column, LABEL_OPTION)
    for row, label in enumerate(labels, 1):
        problem = problem_of(label)
        if problem is not None:
            raise DataError(
                f"{table.where}, row {row}, column {label_column}",
                expected="one class or one number",
                found=problem,
                do=f"correct the row, or name a different column with {LABEL_OPTION}",
            )
    return labels


def problem_of(label: object) -> str | None:
    """Say why a value cannot be one label; None if it can."""
    if isinstance(label, str):
        if len(label) > NAME_LIMIT_CHARACTERS:
            return f"a text of {len(label)} characters"
        return HALF_A_CHARACTER if has_half_a_character(label) else None
    if isinstance(label, int):
        return None if abs(label) < 2**64 else "a number of more than 64 bits"
    if isinstance(label, list | tuple):
        return "a list, where most rows have one label"
    if label is None or isinstance(label, float):
        return None
    return "an object" if isinstance(label, dict) else f"a value of type {type(label).__name__}"


def _name(value: object) -> str:
    return "" if value is None else str(value)


def _integer(value: object) -> int | None:
    """Read a whole number, or text that spells one; booleans count as 0 and 1."""
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
