"""Read the rows of a table one after the other, for a student that is finished.

    rows = open_rows("mood/test.csv")       # csv, tsv, json, jsonl, parquet, txt; also packed: .gz
    rows = open_rows("mood", split="test")  # a folder of such files, or of save_to_disk
    rows = open_rows("owner/name:configuration@revision", split="test")  # of the Hub
    rows = open_rows(dataset)               # an object of `datasets`, or a list of texts

Only a sample of the rows is in memory. In csv and tsv all values are texts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from mixkd.shared import files
from mixkd.shared.errors import DataError, MixkdError
from mixkd.shared.models.quietly import first_line
from mixkd.shared.places import address, missing
from mixkd.student_train.row_formats import (
    READERS,
    Row,
    format_of,
    parquet_class_names,
    stream_rows,
)

if TYPE_CHECKING:
    import datasets

AnyRows = Union[str, Path, Iterable[str], "datasets.Dataset", "datasets.DatasetDict"]
STDIN = "-"
SPLITS = ("test", "validation", "dev", "valid")
SAMPLE_ROWS = 1024
SAVED = ("state.json", "dataset_dict.json")
CORRECT = "correct it; csv has double quotes, tsv none, JSON an object per line or one list"


@dataclass(frozen=True, slots=True)
class Rows:
    """A table.

    Attributes:
        where: The file, or data set and split, for messages.
        sample: The first rows, which `values` gives too.
        class_names: Of columns that hold class numbers and say what these mean (`ClassLabel`).
    """

    where: str
    sample: tuple[Row, ...]
    values: Iterator[Row]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.sample[0])


def open_rows(data: AnyRows, split: str | None = None) -> Rows:
    """Open a table, and read its first rows.

    Args:
        split: Of a folder or data set that has several; None is the first of test, validation, …

    Raises:
        DataError: If there is no such table, it has no rows, or it cannot be read. Later rows that
            cannot be read raise it when they are reached.
        MissingFileError: If it is an address.
    """
    if not isinstance(data, str | Path):
        return _of_object(data, split)
    if data == STDIN:
        return _rows("standard input", stream_rows(sys.stdin))
    if (url := address(data)) is not None:
        raise missing(url, "a file, a folder or a Hub data set such as owner/name", "")
    path = Path(data)
    if files.is_folder(path):
        if any((path / name).is_file() for name in SAVED):
            import datasets

            with _named(str(path), "a folder of save_to_disk"):
                return _of_object(datasets.load_from_disk(path), split, str(path))
        return _of_file(_file_of(path, split))
    if files.exists(path):
        return _of_file(path)
    if isinstance(data, Path) or data.startswith((".", "/", "~")) or format_of(path) in READERS:
        raise DataError(
            data, expected="a file or folder", found="none", do="check --data for a typo"
        )
    return _of_hub(str(data), split)


def _rows(where: str, values: Iterable[Row], **more: Any) -> Rows:
    named = _each_named(where, values)
    sample = tuple(islice(named, SAMPLE_ROWS))
    if not sample:
        raise DataError(where, expected="at least one row", found="none", do="add rows")
    return Rows(where, sample, chain(sample, named), **more)


def _each_named(where: str, values: Iterable[Row]) -> Iterator[Row]:
    """Give the rows; whatever a library raises is an error about the row that it is in."""
    number = 0
    iterator = iter(values)
    while True:
        number += 1
        with _named(f"{where}, row {number}", "a row of the table"):
            row = next(iterator, None)
        if row is None:
            return
        yield row


@contextmanager
def _named(where: str, expected: str, do: str = CORRECT) -> Iterator[None]:
    """Turn whatever the block raises into a `DataError` about a place."""
    try:
        yield
    except MixkdError:
        raise
    except Exception as error:
        raise DataError(
            where,
            expected=expected,
            found=first_line(error),
            do=do,
        ) from error


def _of_file(path: Path) -> Rows:
    extension = format_of(path)
    if extension not in READERS:
        raise DataError(
            path,
            expected=f"one of {', '.join(READERS)}, also with .gz",
            found=f"the extension {extension!r}",
            do="convert the file, or rename it if it is one of these",
        )
    names = {}
    if extension == ".parquet":
        with _named(str(path), "a parquet file"):
            names = parquet_class_names(path)
    return _rows(str(path), READERS[extension](path), class_names=names)


def _file_of(folder: Path, split: str | None) -> Path:
    """Find the split's one file in a folder."""
    for name in (split,) if split else SPLITS:
        found = sorted(f for f in folder.glob(f"{name}.*") if format_of(f) in READERS)
        if len(found) == 1:
            return found[0]
    listed = ", ".join(sorted(file.name for file in folder.iterdir())[:8])
    raise DataError(
        folder,
        expected=f"one file {split or ' or '.join(SPLITS)}.* ({', '.join(READERS)})",
        found=listed or "an empty folder",
        do="name a file with --data, or its split with --split",
    )


def _of_object(data: Any, split: str | None, where: str = "data") -> Rows:
    if isinstance(data, Mapping):  # a DatasetDict
        names = (split,) if split else SPLITS
        chosen = next((name for name in names if name in data), None)
        if chosen is None:
            raise DataError(
                where,
                expected=f"a split {' or '.join(names)}",
                found=", ".join(map(str, data)) or "none",
                do="choose one with --split",
            )
        return _of_object(data[chosen], None, f"{where}, split {chosen}")
    features = getattr(data, "features", None) or {}
    class_names = {
        name: tuple(label.names)
        for name, feature in features.items()
        if type(label := getattr(feature, "feature", feature)).__name__ == "ClassLabel"
    }
    rows: Iterator[Row] = ({"text": row} if isinstance(row, str) else row for row in data)
    return _rows(where, rows, class_names=class_names)


def _of_hub(name: str, split: str | None) -> Rows:
    import datasets

    configured, _, revision = name.partition("@")
    place, _, configuration = configured.partition(":")
    do = "check --data for a typo, and the network"
    with _named(name, "a file, a folder, or a data set that the Hub gives out", do):
        found = datasets.load_dataset(
            place, configuration or None, revision=revision or None, streaming=True
        )
    return _of_object(found, split, name)
