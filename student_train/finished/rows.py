"""Read the rows that a finished student is asked about, from whatever `--data` names.

    rows = open_rows("mood/test.csv")          # what cache-teacher reads: a file, a folder, …
    rows = open_rows("mood", split="test")
    rows = open_rows(["a text", "another"])    # or any iterable of texts, which may have no end
    rows = open_rows("-")                      # standard input

The table is in Arrow's buffers; its rows become Python's a slice at a time, as they are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Union

from mixkd.shared.data.files import read_stream
from mixkd.shared.data.json_tables import columns_of
from mixkd.shared.data.named_splits import OneSplit
from mixkd.shared.data.objects import is_object
from mixkd.shared.data.read import read_source
from mixkd.shared.data.sources import Row as Row
from mixkd.shared.data.sources import Table
from mixkd.shared.errors import DataError

if TYPE_CHECKING:
    from mixkd.shared.data.objects import AnyData

AnyRows = Union["AnyData", Iterable[str]]
STDIN = "-"
SAMPLE_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Rows:
    """A table, and its rows one after the other.

    Attributes:
        table: All rows; of an iterable only the first ones.
    """

    table: Table
    values: Iterator[Row]

    @property
    def where(self) -> str:
        """The file, or data set and split, for messages."""
        return self.table.where

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.columns)

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """Of columns that hold class numbers and say what these mean (`ClassLabel`)."""
        return self.table.class_names

    @property
    def sample(self) -> tuple[Row, ...]:
        """The first rows, which `values` gives too."""
        return tuple(islice(self.table.rows(), SAMPLE_ROWS))


def open_rows(data: AnyRows, split: str | None = None) -> Rows:
    """Open a table.

    Args:
        split: Of a folder or data set that has several; None is the first of test, validation, …

    Raises:
        DataError: If there is no such table, it has no rows, or it cannot be read. Rows of an
            iterable that are not such raise it when they are reached.
        UsageError: If it is none of these.
    """
    if not (isinstance(data, str | Path | Mapping) or is_object(data)):
        return _of_iterable(data)
    if data == STDIN:
        table = read_stream("standard input", sys.stdin.buffer)
    else:
        (table,) = read_source(data, OneSplit(split)).tables.values()
    table.check_has_rows()
    return Rows(table, table.rows())


def _of_iterable(data: Iterable[object]) -> Rows:
    rows = (_row(value, number) for number, value in enumerate(data, 1))
    sample = list(islice(rows, SAMPLE_ROWS))
    table = Table("data", columns_of("data", iter(sample)))
    table.check_has_rows()
    return Rows(table, chain(sample, rows))


def _row(value: object, number: int) -> Row:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, Mapping):
        return dict(value)
    raise DataError(
        f"data, row {number}",
        expected="a text",
        found=type(value).__name__,
        do="give texts, or a Dataset",
    )
