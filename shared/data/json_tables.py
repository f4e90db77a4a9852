"""Tables of JSON: one object per line, or one array of objects, or one object of columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared.data.sources import Column
from mixkd.shared.data.text_tables import ROWS_AT_ONCE, Lines
from mixkd.shared.errors import DataError

if TYPE_CHECKING:
    from mixkd.shared.data.sources import Chunk

SPACE = re.compile(r"[ \t\r\n]*")
PER_LINE = "write one object per line, all with the same keys"
PER_ROW = "write a list of objects, all with the same keys, or one object per line"
CHUNK_TYPES: tuple[type, ...] = (str, int, float, bool)


def read_json_lines(file: Path | str, lines: Lines) -> dict[str, Column]:
    """Read one object per line, all with the same keys; blank lines are skipped."""
    return columns_of(file, _parsed(lines), PER_LINE)


def read_json(file: Path | str, lines: Lines) -> dict[str, Column]:
    """Read an array of objects, an object of columns or of one such array, or lines of objects.

    Raises:
        DataError: If it is anything else.
    """
    text = lines.read()
    at = _after_space(text, 0)
    if text.startswith("[", at):
        return columns_of(file, _items(text, at), PER_ROW)
    try:
        whole, end = json.JSONDecoder().raw_decode(text, at)
    except (ValueError, RecursionError):
        whole, end = None, 0
    if not isinstance(whole, dict) or _after_space(text, end) < len(text):
        return columns_of(file, _parsed(text.split("\n")), PER_ROW)
    lists = {name: value for name, value in whole.items() if isinstance(value, list)}
    rows = {name: value for name, value in lists.items() if value and isinstance(value[0], dict)}
    if len(rows) == 1:  # "data", beside a version or a licence
        return columns_of(file, iter(next(iter(rows.values()))), PER_ROW)
    if len(rows) > 1:
        raise DataError(
            file,
            expected="one list of rows",
            found=f"several: {', '.join(rows)}"[:200],
            do="write a file for each, named after its split, into one folder",
        )
    if lists and lists.keys() == whole.keys() and len({*map(len, lists.values())}) == 1:
        count = len(next(iter(lists.values())))
        return {name: Column(count, [_chunk(value)].copy) for name, value in lists.items()}
    return columns_of(file, iter([whole]), PER_ROW)


def columns_of(file: Path | str, rows: Iterator[object], do: str = PER_ROW) -> dict[str, Column]:
    """Turn rows, all with the same keys, into columns, batch by batch."""
    chunks: dict[str, list[Chunk]] = {}
    count = 0
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        if not count and isinstance(batch[0], dict):
            chunks = {name: [] for name in batch[0]}
        checked = [
            _checked(file, row, chunks, number, do) for number, row in enumerate(batch, count + 1)
        ]
        for name, column in chunks.items():
            column.append(_chunk([row[name] for row in checked]))
        count += len(batch)
    return {name: Column(count, column.copy) for name, column in chunks.items()}


def _checked(
    file: Path | str, row: object, keys: dict[str, Any], number: int, do: str
) -> dict[str, object]:
    if isinstance(row, dict) and row.keys() == keys.keys():
        return row
    # An error of the parser stands in the place of the row.
    keyed = f"an object with the keys {', '.join(keys)}" if keys else "a JSON object"
    raise DataError(
        f"{file}, row {number}",
        expected=keyed,
        found=f"the keys {', '.join(row)}" if isinstance(row, dict) else str(row)[:80],
        do=do,
    )


def _parsed(lines: Iterable[str]) -> Iterator[object]:
    """Give the value of each line; for one that is not JSON, what is wrong with it, and no more."""
    for line in lines:
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield str(error)
                return
            yield value


def _items(text: str, at: int) -> Iterator[object]:
    """Give the items of an array one by one; where it breaks, what is wrong, and no more."""
    decoder = json.JSONDecoder()
    at = _after_space(text, at + 1)
    while not text.startswith("]", at):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield str(error)
            return
        yield value
        at = _after_space(text, at)
        if text.startswith(",", at):
            at = _after_space(text, at + 1)
        elif not text.startswith("]", at):
            yield f"a list that is cut or broken at character {at}"
            return
    if (end := _after_space(text, at + 1)) < len(text):
        yield f"more text behind the list, at character {end}"


def _after_space(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    return match.end() if match else at


def _chunk(values: list[Any]) -> Chunk:
    """Return Arrow's array where that changes no value, else the values themselves."""
    import pyarrow as pa

    types = {*map(type, values)} - {type(None)}
    if len(types) == 1 and next(iter(types)) in CHUNK_TYPES:
        try:
            return pa.array(values, from_pandas=False)
        except (pa.ArrowException, OverflowError, UnicodeError):
            pass  # halves of characters, numbers beyond 64 bits
    return values
