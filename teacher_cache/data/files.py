"""Read tables from files: tsv, csv and jsonl with the standard library, parquet with pyarrow.

Rows are counted from 1 in messages; a header is not counted. Whatever is wrong with a file, and
whatever a library makes of it, is a `DataError`.
"""

from __future__ import annotations

import csv
import io
import json
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mixkd.shared import files
from mixkd.shared.errors import DataError, MissingFileError, UnsafeFileError
from mixkd.teacher_cache.data.sources import Table, readable

if TYPE_CHECKING:
    import pyarrow.parquet

Columns = dict[str, Sequence[object]]
FIELD_LIMIT_CHARACTERS = 2**24


def read_file(file: Path) -> Table:
    """Read a table in one of the four formats, by the file's extension.

    Raises:
        DataError: On an unknown extension, a pipe or device, text that is not UTF-8, rows that do
            not fit, or anything else that is not what the extension says.
    """
    extension = file.suffix.lower()
    if extension not in READERS:
        raise DataError(
            file,
            expected=f"one of {', '.join(READERS)}",
            found=f"the extension {extension!r}",
            do="convert the file, or rename it if it is one of these",
        )
    with readable(file, expected=f"a {extension[1:]} file", do="write the file again"):
        return Table(str(file), READERS[extension](file))


def read_text(file: Path) -> str:
    """Read a file of UTF-8.

    Raises:
        DataError: If it cannot be read or decoded, or is not a regular file.
    """
    with (
        readable(file, expected="a file that can be read", do="check it"),
        _opened(file) as descriptor,
        os.fdopen(os.dup(descriptor), "rb") as stream,
    ):
        data = stream.read()
    try:
        # A byte order mark, which spreadsheets write, is not part of the first column's name.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            file,
            expected="UTF-8 text",
            found=f"byte 0x{data[error.start]:02x} at offset {error.start}",
            do="convert the file to UTF-8, or unpack it if it is compressed",
        ) from None


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    """Open a regular file for reading; pipes and devices are refused without waiting for them."""
    try:
        with files.opened(file.parent, file.name) as descriptor:
            yield descriptor
    except (MissingFileError, UnsafeFileError) as error:
        raise DataError(
            file, expected=error.expected, found=error.found, do="name a file of rows with --data"
        ) from None


def _lines(file: Path) -> io.StringIO:
    """Open a text that is cut at line feeds only: texts may hold other separators."""
    return io.StringIO(read_text(file), newline="\n")


def _read_delimited(file: Path, **dialect: Any) -> Columns:
    """Read a header and rows; blank lines are skipped."""
    correct = "correct it; tsv is read without quoting, csv with double quotes"
    csv.field_size_limit(FIELD_LIMIT_CHARACTERS)
    reader = csv.reader(_lines(file), **dialect)
    try:
        header, *rows = [row for row in reader if row] or [[]]
    except csv.Error as error:
        raise DataError(
            f"{file}, line {reader.line_num}",
            expected="a row of the table",
            found=str(error).split(" - ")[0],
            do=correct,
        ) from None
    _check_names(file, header)
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(
                f"{file}, row {number}",
                expected=f"{len(header)} columns as in the header ({', '.join(header)})",
                found=len(row),
                do=correct,
            )
    return {name: [row[at] for row in rows] for at, name in enumerate(header)}


def _check_names(file: Path, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise DataError(
            f"{file}, header",
            expected="a different name for each column",
            found=", ".join(names),
            do="rename the columns",
        )


def _read_json_lines(file: Path) -> Columns:
    rows: list[dict[str, object]] = []
    for line in filter(str.strip, _lines(file)):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            row = str(error)
        if not isinstance(row, dict) or (rows and row.keys() != rows[0].keys()):
            keys = f"an object with the keys {', '.join(rows[0])}" if rows else "a JSON object"
            raise DataError(
                f"{file}, row {len(rows) + 1}",
                expected=keys,
                found=f"the keys {', '.join(row)}" if isinstance(row, dict) else str(row)[:80],
                do="write one object per line, all with the same keys",
            )
        rows.append(row)
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _read_parquet(file: Path) -> Columns:
    """Read the names of the columns; each is decoded when it is asked for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _opened(file) as descriptor:
        content = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    rows = pq.ParquetFile(pa.BufferReader(pa.py_buffer(content)))
    if rows.metadata.num_rows < 0:
        raise ValueError(f"a header of {rows.metadata.num_rows} rows")
    names = rows.schema_arrow.names
    _check_names(file, names)
    return {name: _ParquetColumn(rows, name) for name in names}


class _ParquetColumn(Sequence[object]):
    """The values of one column of a parquet file, decoded when they are first asked for."""

    def __init__(self, rows: pyarrow.parquet.ParquetFile, name: str) -> None:
        self._rows = rows
        self._name = name

    def __len__(self) -> int:
        return int(self._rows.metadata.num_rows)

    @cached_property
    def _values(self) -> list[object]:
        values: list[object] = self._rows.read(columns=[self._name])[self._name].to_pylist()
        if len(values) != len(self):
            raise ValueError(f"{len(values)} values in {len(self)} rows")
        return values

    @overload
    def __getitem__(self, rows: int) -> object: ...

    @overload
    def __getitem__(self, rows: slice) -> Sequence[object]: ...

    def __getitem__(self, rows: int | slice) -> object:
        return self._values[rows]


READERS: dict[str, Callable[[Path], Columns]] = {
    ".tsv": partial(_read_delimited, delimiter="\t", quoting=csv.QUOTE_NONE),
    ".csv": partial(_read_delimited, strict=True),
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
