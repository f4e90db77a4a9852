"""Read tables from files of the user's: which format and packing, opened with suspicion.

Rows are counted from 1 in messages; a header is not counted. Whatever is wrong with a file, and
whatever a library makes of it, is a `DataError`.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mixkd.shared import files
from mixkd.shared.data.arrow_tables import read_arrow, read_parquet
from mixkd.shared.data.json_tables import read_json, read_json_lines
from mixkd.shared.data.sources import Table, readable
from mixkd.shared.data.text_tables import Lines, read_csv, read_lines, read_tsv
from mixkd.shared.errors import DataError, MissingFileError, UnsafeFileError


def read_file(file: Path) -> Table:
    """Read a table in one of the formats, by the file's extension.

    Raises:
        DataError: On an unknown extension, a pipe or device, text that is not UTF-8, rows that do
            not fit, or anything else that is not what the extension says.
    """
    extension, packing = extensions(file)
    if extension not in EXTENSIONS or (packing and extension not in TEXT_READERS):
        raise DataError(
            file,
            expected=f"one of {', '.join(EXTENSIONS)}",
            found=f"the extension {packing or extension!r}",
            do="convert the file, or rename it if it is one of these; text files may be packed"
            f" ({', '.join(PACKINGS)})",
        )
    with (
        readable(file, expected=f"a {extension[1:]} file", do="write the file again"),
        _opened(file) as descriptor,
    ):
        if extension in ARROW_READERS:
            return ARROW_READERS[extension](file, descriptor)
        with _unpacked(descriptor, packing) as stream:
            return Table(str(file), TEXT_READERS[extension](file, Lines(file, stream)))


def read_stream(where: str, stream: BinaryIO) -> Table:
    """Read a table of text from a stream: JSON, tsv or csv, by its first line.

    Raises:
        DataError: As `read_file` does.
    """
    data = stream.read()
    start = data.removeprefix(codecs.BOM_UTF8).lstrip(b" \r\n")
    extension = ".csv"
    if start.startswith((b"{", b"[")):
        extension = ".json"
    elif b"\t" in start.partition(b"\n")[0]:
        extension = ".tsv"
    with readable(where, expected=f"rows of {extension[1:]}", do="correct them"):
        return Table(where, TEXT_READERS[extension](where, Lines(where, io.BytesIO(data))))


def extensions(file: Path) -> tuple[str, str]:
    """Return a file's extension and its packing: `.csv`, `.gz` for `rows.csv.gz`."""
    packing = file.suffix.lower()
    if packing not in PACKINGS:
        return packing, ""
    return Path(file.stem).suffix.lower(), packing


def stem_of(file: Path) -> str:
    """Return a file's name without its extension and packing."""
    return Path(file.stem).stem if extensions(file)[1] else file.stem


def is_table(file: Path) -> bool:
    """Say whether a file's name is that of a table that `read_file` reads."""
    extension, packing = extensions(file)
    return extension in (TEXT_READERS if packing else EXTENSIONS)


def read_text(file: Path) -> str:
    """Read a file of UTF-8.

    Raises:
        DataError: If it cannot be read or decoded, or is not a regular file.
    """
    with (
        readable(file, expected="a file that can be read", do="check it"),
        _opened(file) as descriptor,
        _unpacked(descriptor, "") as stream,
    ):
        return Lines(file, stream).read()


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


@contextmanager
def _unpacked(descriptor: int, packing: str) -> Iterator[Any]:
    with os.fdopen(os.dup(descriptor), "rb") as stream, PACKINGS[packing](stream) as unpacked:
        yield unpacked


def _zstandard(stream: Any) -> Any:
    import pyarrow as pa

    # Python 3.14 has the format in its own library.
    return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd"))


TEXTS = ".txt"
PACKINGS: dict[str, Callable[[Any], Any]] = {
    "": lambda stream: stream,
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _zstandard,
}
TEXT_READERS = {
    ".tsv": read_tsv,
    ".csv": read_csv,
    ".json": read_json,
    ".jsonl": read_json_lines,
    TEXTS: read_lines,
}
ARROW_READERS = {".parquet": read_parquet, ".arrow": read_arrow}
EXTENSIONS = (*TEXT_READERS, *ARROW_READERS)
