"""Where rows come from: a folder, a file or the Hub, each read into plain columns.

Text formats are read with the standard library and parquet with pyarrow, so that `datasets` is
needed for the Hub alone. Rows are counted from 1 in messages; a header is not counted.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixkd.shared.errors import DataError

EXTENSIONS = (".tsv", ".csv", ".jsonl", ".parquet")
VALIDATIONS = ("validation", "dev", "valid")
LABEL_NAMES_FILE = "label_names.txt"
FIELD_LIMIT_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Table:
    """One split as it was read.

    Attributes:
        where: The file, or the Hub's name of the split, for messages.
        columns: Name -> values, all of the same number of rows.
    """

    where: str
    columns: dict[str, Sequence[object]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str, option: str) -> Sequence[object]:
        """A column's values.

        Raises:
            DataError: If it is missing, naming those there are and the option that chooses.
        """
        if name not in self.columns:
            raise DataError(
                self.where,
                expected=f"a column {name!r}",
                found=f"the columns {', '.join(self.columns) or 'of no row'}",
                do=f"name the right one with {option}",
            )
        return self.columns[name]


@dataclass(frozen=True, slots=True)
class Source:
    """What was read, before anything is chosen from it.

    Attributes:
        tables: Split name -> table; `train` first, no validation where the source has none.
        label_names: As the source itself gives them, or empty.
        about: Where it is from: names, Hub id and revision, licence; never a local path.
        from_hub: Whether others made it, so that the user cannot mend it.
    """

    tables: dict[str, Table]
    label_names: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    from_hub: bool = False


def read_path(path: Path, validations: tuple[str, ...]) -> Source:
    """A folder of `train.*` and validation files, or a single file of training rows."""
    about = {"data": path.resolve().name}
    if not path.is_dir():
        return Source({"train": read_file(path)}, about=about)
    tables = {"train": read_file(_only(path, "train") or _no_train(path))}
    own = {name: _only(path, name) for name in validations}
    if not all(own.values()):
        own = {"validation": next(filter(None, (_only(path, name) for name in VALIDATIONS)), None)}
    tables |= {name: read_file(file) for name, file in own.items() if file is not None}
    names = path / LABEL_NAMES_FILE
    return Source(tables, _lines(names) if names.is_file() else (), about)


def _only(folder: Path, stem: str) -> Path | None:
    """The one file `stem.*` of the folder, or None."""
    files = sorted(file for file in folder.glob(f"{stem}.*") if file.is_file())
    if len(files) > 1:
        raise DataError(
            folder,
            expected=f"one file {stem}.*",
            found=", ".join(file.name for file in files),
            do="keep one of them, or name a file with --data",
        )
    return files[0] if files else None


def _no_train(folder: Path) -> Path:
    names = sorted(file.name for file in folder.iterdir())
    raise DataError(
        folder,
        expected=f"a file train with one of {', '.join(EXTENSIONS)}",
        found=", ".join(names[:8]) or "an empty folder",
        do="rename the file of training rows, or name it with --data",
    )


def _lines(file: Path) -> tuple[str, ...]:
    """A file's lines that are not blank, such as one label name each."""
    stripped = (line.strip() for line in _decoded(file).splitlines())
    return tuple(line for line in stripped if line)


def read_file(file: Path) -> Table:
    """A table in one of the four formats, by the file's extension.

    Raises:
        DataError: On an unknown extension, text that is not UTF-8, or rows that do not fit.
    """
    readers = {".tsv": _read_tsv, ".csv": _read_csv, ".jsonl": _read_jsonl}
    extension = file.suffix.lower()
    if extension not in EXTENSIONS:
        raise DataError(
            file,
            expected=f"one of {', '.join(EXTENSIONS)}",
            found=f"the extension {extension!r}",
            do="convert the file, or rename it if it is one of these",
        )
    if extension == ".parquet":
        return Table(str(file), _read_parquet(file))
    return Table(str(file), readers[extension](file))


def _decoded(file: Path) -> str:
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


def _read_tsv(file: Path) -> dict[str, Sequence[object]]:
    return _from_rows(file, csv.reader(_raw_lines(file), delimiter="\t", quoting=csv.QUOTE_NONE))


def _read_csv(file: Path) -> dict[str, Sequence[object]]:
    return _from_rows(file, csv.reader(_raw_lines(file), strict=True))


def _raw_lines(file: Path) -> Iterator[str]:
    """Lines with their ends, cut at line feeds only: texts may hold other separators."""
    csv.field_size_limit(FIELD_LIMIT_BYTES)
    text = _decoded(file)
    start = 0
    while start < len(text):
        stop = text.find("\n", start) + 1 or len(text)
        yield text[start:stop]
        start = stop


def _from_rows(file: Path, reader: Any) -> dict[str, Sequence[object]]:
    """Columns of a reader whose first row is the header; blank lines are passed over."""
    rows: list[list[str]] = []
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise DataError(
            f"{file}, line {reader.line_num}",
            expected="a row of the table",
            found=str(error).split(" - ")[0],
            do="mend the line; tsv is read without quoting, csv with double quotes",
        ) from None
    if not rows:
        return {}
    header = rows[0]
    if len(set(header)) != len(header):
        raise DataError(
            f"{file}, header",
            expected="a different name for each column",
            found=", ".join(header),
            do="rename the columns",
        )
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(header):
            raise DataError(
                f"{file}, row {number}",
                expected=f"{len(header)} columns as in the header ({', '.join(header)})",
                found=len(row),
                do="mend the row; tsv is read without quoting, csv with double quotes",
            )
    return {name: [row[at] for row in rows[1:]] for at, name in enumerate(header)}


def _read_jsonl(file: Path) -> dict[str, Sequence[object]]:
    rows: list[dict[str, object]] = []
    for line in _raw_lines(file):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            row = str(error)
        if not isinstance(row, dict) or (rows and row.keys() != rows[0].keys()):
            keys = f"an object with the keys {', '.join(rows[0])}" if rows else "a JSON object"
            found = f"the keys {', '.join(row)}" if isinstance(row, dict) else str(row)[:80]
            raise DataError(
                f"{file}, row {len(rows) + 1}",
                expected=keys,
                found=found,
                do="write one object a line, all with the same keys",
            )
        rows.append(row)
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _read_parquet(file: Path) -> dict[str, Sequence[object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            file,
            expected="a parquet file",
            found=str(error).split("\n")[0][:200],
            do="write the file again",
        ) from None
    return {name: table[name].to_pylist() for name in table.column_names}
