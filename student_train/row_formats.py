"""Give the rows of a file one after the other, by its format; whatever is wrong with it passes.

csv and tsv with the standard library, all values texts; JSON as an object per line or one list;
parquet in batches with pyarrow; of txt each line is a text.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

Row = dict[str, object]
FIELD_LIMIT_CHARACTERS = 2**24
BATCH_ROWS = 1024


def format_of(path: Path) -> str:
    """Return the extension that names a file's format, without that of packing."""
    name = path.name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


def _opened(path: Path) -> TextIO:
    """Open a text that is cut at line feeds only, without a byte order mark."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="\n")
    return path.open(encoding="utf-8-sig", newline="\n")


def _delimited(lines: Iterable[str], **dialect: Any) -> Iterator[Row]:
    csv.field_size_limit(FIELD_LIMIT_CHARACTERS)
    reader = csv.reader(lines, **dialect)
    header = next(reader, [])
    if len({*header}) != len(header):
        raise ValueError(f"the header {', '.join(header)}, which names a column twice")
    for row in reader:
        if row and len(row) != len(header):
            raise ValueError(f"{len(row)} columns, where the header has {len(header)}")
        if row:
            yield dict(zip(header, row, strict=True))


def _csv(path: Path) -> Iterator[Row]:
    with _opened(path) as lines:
        yield from _delimited(lines, strict=True)


def _tsv(path: Path) -> Iterator[Row]:
    with _opened(path) as lines:
        yield from _delimited(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def _json(path: Path) -> Iterator[Row]:
    with _opened(path) as lines:
        yield from _json_rows(lines)


def _json_rows(lines: TextIO | Iterator[str]) -> Iterator[Row]:
    """Read an object per line, or one list of objects, which is read whole."""
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith("["):
        found = json.loads(first + "".join(lines))
    else:
        found = (json.loads(line) for line in chain([first], lines) if line.strip())
    for row in found:
        if not isinstance(row, dict):
            raise TypeError(f"{str(row)[:40]!r} in place of an object")
        yield row


def stream_rows(stream: TextIO) -> Iterator[Row]:
    """Read csv, tsv or JSON from a stream, by its first line."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8-sig", newline="\n")
    first = next((line for line in stream if line.strip()), "")
    lines = chain([first], stream)
    if first.lstrip().startswith(("{", "[")):
        return _json_rows(lines)
    if "\t" in first:
        return _delimited(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return _delimited(lines, strict=True)


def _text(path: Path) -> Iterator[Row]:
    """Read a text per line, in a column `text`."""
    with _opened(path) as lines:
        for line in lines:
            if line.strip():
                yield {"text": line.rstrip("\r\n")}


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(BATCH_ROWS):
            yield from batch.to_pylist()


def parquet_class_names(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the names of classes where `datasets` notes them in a parquet file."""
    import pyarrow.parquet as pq

    noted = (pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(noted).get("info", {}).get("features", {})
    labels = {
        name: feature.get("feature", feature) for name, feature in features.items() if feature
    }  # of a list of labels, what it is a list of
    return {
        name: tuple(map(str, label["names"]))
        for name, label in labels.items()
        if isinstance(label, dict) and label.get("_type") == "ClassLabel"
    }


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json,
    ".parquet": _parquet,
    ".txt": _text,
}
