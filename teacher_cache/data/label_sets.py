"""Read labels of which a row has any number (multi-label): a list in each row.

Lists of class numbers or of names, as Python, Arrow and `datasets` have them; csv and tsv have them
as text of JSON. An empty list says that none of the labels applies: such a row is labelled.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from mixkd.shared.data.columns import LABEL_OPTION
from mixkd.shared.data.sources import Column, Table
from mixkd.shared.errors import DataError
from mixkd.shared.label_lists import label_list
from mixkd.shared.metrics import MULTI_LABEL
from mixkd.teacher_cache.data.targets import (
    Classes,
    Labels,
    converted,
    find_classes,
    problem_of,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelSets:
    """The labels of a data set, of which a row has any number."""

    classes: Classes
    problem_type: ClassVar[str] = MULTI_LABEL

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes.names

    @property
    def none(self) -> Labels:
        """Labels of no row."""
        return np.empty((0, len(self.names)), np.int8)

    def read(self, table: Table, label_column: str) -> Labels:
        """Convert a split's lists to 0 and 1 per label, int8 [n, C].

        Raises:
            DataError: On what is not a list of labels, or has one twice, naming its row.
        """
        classes = self.classes
        number_of = classes.converter()

        def numbers_of(value: object) -> list[int] | None:
            labels = label_list(value)
            found = None if labels is None else list(map(number_of, labels))
            if found is None or None in found or len({*found}) < len(found):
                return None
            return [number for number in found if number is not None]

        lists = converted(
            table,
            label_column,
            _checked(table, label_column),
            numbers_of,
            expected=f"a list of labels, each once and {classes.kind} of one of {classes.listed}",
        )
        labels = np.zeros((len(lists), len(self.names)), np.int8)  # [n, C]
        for row, numbers in enumerate(lists):
            labels[row, numbers] = 1
        return labels


def is_multi_label(tables: Iterable[Table], label_column: str) -> bool:
    """Say whether most rows have a list of labels."""
    values = [value for t in tables for value in t.column(label_column, LABEL_OPTION)]
    return 2 * sum(label_list(value) is not None for value in values) > len(values)


def find_label_sets(tables: list[Table], label_column: str, given: tuple[str, ...]) -> LabelSets:
    """Take the labels given, or else those of the first table, the training rows.

    What classes are is decided by `find_classes`, from all lists one after the other.

    Raises:
        DataError, UsageError: As `find_classes` does.
    """
    flat = []
    for table in tables:
        lists = map(label_list, _checked(table, label_column))
        labels: list[object] = [label for each in lists for label in each or ()]
        flat.append(_of_one_column(table, label_column, labels))
    if not len(flat[0]):
        raise DataError(
            f"{tables[0].where}, column {label_column}",
            expected="rows of at least two classes",
            found="empty lists alone",
            do=f"name a different column with {LABEL_OPTION}",
        )
    found = LabelSets(find_classes(flat, label_column, given))
    per_row = len(flat[0]) / len(tables[0])
    where = tables[0].where
    log.info("%s: multi-label: %d labels, %.1f per row", where, len(found.names), per_row)
    return found


def _of_one_column(table: Table, label_column: str, labels: list[object]) -> Table:
    return replace(table, columns={label_column: Column(len(labels), lambda: [labels])})


def _checked(table: Table, label_column: str) -> Sequence[object]:
    """Return a split's lists, each of what may be labels.

    Raises:
        DataError: Naming the first row of something else.
    """
    values = table.column(label_column, LABEL_OPTION)
    for row, value in enumerate(values, 1):
        for label in label_list(value) or ():
            problem = "nothing" if label is None else problem_of(label)
            if isinstance(label, float):
                problem = f"the number {label:g} (of a row of 0 and 1, list where the 1s are)"
            if problem is not None:
                raise DataError(
                    f"{table.where}, row {row}, column {label_column}",
                    expected="a list of class numbers or of names",
                    found=problem,
                    do=f"correct the row, or name a different column with {LABEL_OPTION}",
                )
    return values
