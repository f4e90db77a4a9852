"""Read tables from files: tsv, csv and jsonl with the standard library, parquet with pyarrow.

Rows are counted from 1 in messages; a header is not counted.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mixkd.shared.errors import DataError
from mixkd.teacher_cache.data.sources import Table

Columns = dict[str, Sequence[object]]
FIELD_LIMIT_BYTES = 2**24


def read_file(file: Path) -> Table:
    """Read a table in one of the four formats, by the file's extension.

    Raises:
        DataError: On an unknown extension, text that is not UTF-8, or rows that do not fit.
    """
    extension = file.suffix.lower()
    if extension not in READERS:
        raise DataError(
            file,
            expected=f"one of {', '.join(READERS)}",
            found=f"the extension {extension!r}",
            do="convert the file, or rename it if it is one of these",
        )
    return Table(str(file), READERS[extension](file))


def read_text(file: Path) -> str:
    """Read a file of UTF-8.

    Raises:
        DataError: If it cannot be read or decoded.
    """
    try:
        # A byte order mark, which spreadsheets write, is not part of the first column's name.
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            file,
            expected="UTF-8 text",
            found=f"byte 0x{error.object[error.start]:02x} at offset {error.start}",
            do="convert the file to UTF-8",
        ) from None
    except OSError as error:
        raise DataError(
            file, expected="a readable file", found=error.strerror, do="check its permissions"
        ) from None


def _lines(file: Path) -> io.StringIO:
    """Open a text that is cut at line feeds only: texts may hold other separators."""
    return io.StringIO(read_text(file), newline="\n")


def _read_delimited(file: Path, **dialect: Any) -> Columns:
    """Read a header and rows; blank lines are skipped."""
    correct = "correct it; tsv is read without quoting, csv with double quotes"
    csv.field_size_limit(FIELD_LIMIT_BYTES)
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
    if len(set(header)) != len(header):
        raise DataError(
            f"{file}, header",
            expected="a different name for each column",
            found=", ".join(header),
            do="rename the columns",
        )
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(
                f"{file}, row {number}",
                expected=f"{len(header)} columns as in the header ({', '.join(header)})",
                found=len(row),
                do=correct,
            )
    return {name: [row[at] for row in rows] for at, name in enumerate(header)}


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
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns: Columns = pq.read_table(file).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            file,
            expected="a parquet file",
            found=str(error).split("\n")[0][:200],
            do="write the file again",
        ) from None
    return columns


READERS: dict[str, Callable[[Path], Columns]] = {
    ".tsv": partial(_read_delimited, delimiter="\t", quoting=csv.QUOTE_NONE),
    ".csv": partial(_read_delimited, strict=True),
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
