"""Tables of text: tsv without quoting and csv with it, by the standard library; lines of texts.

Rows become Arrow's arrays in batches, so that a large file never exists as Python's objects. Every
value stays the text that it is: "NA", "None" and "007" are nothing else.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared.data.sources import SHOWN, Column
from mixkd.shared.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

FIELD_LIMIT_CHARACTERS = 2**24
ROWS_AT_ONCE = 2**14
CORRECT = "correct it; tsv is read without quoting, csv with double quotes"


class Lines:
    """The lines of a stream of UTF-8, cut at line feeds only: texts may hold other separators."""

    def __init__(self, file: Path | str, stream: Any) -> None:
        self._file = file
        self._stream = stream

    def __iter__(self) -> Iterator[str]:
        """Decode line by line.

        Raises:
            DataError: On bytes that are not UTF-8, naming the first one's offset.
        """
        offset = 0
        for line in self._stream:
            yield self._decoded(line, offset)
            offset += len(line)

    def read(self) -> str:
        """Decode all that is left."""
        return self._decoded(self._stream.read(), 0)

    def _decoded(self, data: bytes, offset: int) -> str:
        try:
            # A byte order mark, which spreadsheets write, is not part of the first column's name.
            return data.decode("utf-8" if offset else "utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                self._file,
                expected="UTF-8 text",
                found=f"byte 0x{data[error.start]:02x} at offset {offset + error.start}",
                do="convert the file to UTF-8, or unpack it if it is compressed",
            ) from None


def read_tsv(file: Path | str, lines: Lines) -> dict[str, Column]:
    """Read tab-separated values without quoting."""
    return _read_delimited(file, csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_csv(file: Path | str, lines: Lines) -> dict[str, Column]:
    """Read comma-separated values with double quotes."""
    return _read_delimited(file, csv.reader(lines, strict=True))


def _read_delimited(file: Path | str, reader: Any) -> dict[str, Column]:
    """Read a header and rows; blank lines are skipped."""
    csv.field_size_limit(FIELD_LIMIT_CHARACTERS)
    rows = (row for row in reader if row)
    try:
        header: list[str] = next(rows, [])
        check_names(file, header)
        return _columns(file, header, rows)
    except csv.Error as error:
        raise DataError(
            f"{file}, line {reader.line_num}",
            expected="a row of the table",
            found=str(error).split(" - ")[0],
            do=CORRECT,
        ) from None


def read_lines(file: Path | str, lines: Lines) -> dict[str, Column]:
    """Read a text per line, as the column `text`; blank lines are skipped."""
    return _columns(file, ["text"], ([line.rstrip("\r\n")] for line in lines if line.strip()))


def _columns(file: Path | str, header: list[str], rows: Iterator[list[str]]) -> dict[str, Column]:
    """Turn rows into columns, batch by batch."""
    chunks: list[list[pa.Array]] = [[] for _ in header]
    count = 0
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        _add(file, header, chunks, batch, count)
        count += len(batch)
    return {name: Column(count, chunks[at].copy) for at, name in enumerate(header)}


def _add(
    file: Path | str,
    header: list[str],
    chunks: list[list[pa.Array]],
    rows: list[list[str]],
    count: int,
) -> None:
    """Add rows, of which the first is number `count`, to each column's chunks."""
    import pyarrow as pa

    for number, row in enumerate(rows, count + 1):
        if len(row) != len(header):
            raise DataError(
                f"{file}, row {number}",
                expected=f"{len(header)} columns as in the header ({', '.join(header[:SHOWN])})",
                found=len(row),
                do=CORRECT,
            )
    for column, values in zip(chunks, zip(*rows, strict=True), strict=True):
        column.append(pa.array(values, pa.string()))


def check_names(file: Path | str, names: list[str]) -> None:
    """Refuse a header that has a name twice.

    Raises:
        DataError: Naming the columns.
    """
    if len(set(names)) != len(names):
        raise DataError(
            f"{file}, header",
            expected="a different name for each column",
            found=", ".join(names[:SHOWN]),
            do="rename the columns",
        )
