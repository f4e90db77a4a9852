"""Read a column of texts, and name the first row that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixkd.shared.data.columns import TEXT_OPTION
from mixkd.shared.data.sources import Table, python_values, readable
from mixkd.shared.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mixkd.shared.data.sources import Chunk

OTHER_TEXTS = f"remove or correct the row, or choose different columns with {TEXT_OPTION}"
HALF_A_CHARACTER = "half a character (a lone surrogate)"
TEXT_LIMIT_BYTES = 2**31 - 1  # of a split: offsets in the cache are of 32 bits
# What `str.strip` takes away: anything else in a text is content.
BLANK = "\\t-\\r\\x1c-\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"
CONTENT = f"[^{BLANK}\\x{{202f}}\\x{{205f}}\\x{{3000}}]"


def texts(table: Table, name: str, *, may_be_empty: bool = False) -> pa.ChunkedArray:
    """Read a column of texts.

    Raises:
        DataError: On a value that is not a string, or is empty unless `may_be_empty`; on more
            bytes than a cache holds.
    """
    import pyarrow as pa

    arrays: list[pa.Array] = []
    row = 1
    for chunk in table.chunks(name, TEXT_OPTION):
        array = strings(chunk)
        if array is None or not _all_texts(array, may_be_empty):
            _refuse(table, name, chunk, row, may_be_empty)
        arrays.append(array)
        row += len(chunk)
    if sum(array.nbytes for array in arrays) > TEXT_LIMIT_BYTES:
        raise DataError(
            f"{table.where}, column {name}",
            expected=f"at most {TEXT_LIMIT_BYTES} bytes of text in a split",
            found="more",
            do="cut the texts, or write fewer rows",
        )
    return pa.chunked_array(arrays, pa.utf8())


def strings(chunk: Chunk) -> pa.StringArray | None:
    """Return a chunk as strings, None where it holds anything else or is not valid."""
    import pyarrow as pa

    if isinstance(chunk, list):
        return None
    kind = chunk.type.value_type if pa.types.is_dictionary(chunk.type) else chunk.type
    named = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(is_kind(kind) for is_kind in named):
        return None
    try:
        chunk.validate(full=True)
        return chunk.cast(pa.string())
    except pa.ArrowException:
        return None


def _all_texts(array: pa.StringArray, may_be_empty: bool) -> bool:
    import pyarrow.compute as pc

    if array.null_count:
        return False
    return may_be_empty or bool(
        pc.all(pc.match_substring_regex(array, CONTENT)).as_py() in (1, None)
    )


def _refuse(table: Table, name: str, chunk: Chunk, first: int, may_be_empty: bool) -> None:
    """Name the first value that is not a text, of a chunk that begins with row number `first`.

    Raises:
        DataError: Always.
    """
    where = f"{table.where}, column {name}"
    with readable(where, expected="values that can be decoded", do=OTHER_TEXTS):
        values = python_values(chunk)
    for row, value in enumerate(values, first):
        check_text(value, f"{table.where}, row {row}, column {name}", may_be_empty=may_be_empty)
    found = "what Arrow does not read as such"
    raise DataError(where, expected="text", found=found, do=OTHER_TEXTS)


def check_text(value: object, where: str, *, may_be_empty: bool) -> None:
    """Refuse a value that is not a text.

    Raises:
        DataError: Saying what it is.
    """
    if (problem := _problem(value, may_be_empty)) is not None:
        raise DataError(where, expected="text", found=problem, do=OTHER_TEXTS)


def _problem(value: object, may_be_empty: bool) -> str | None:
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        kind = type(value).__name__
        return kind if isinstance(value, list | dict) else f"{kind} {str(value)[:40]!r}"
    if not may_be_empty and not value.strip():
        return "an empty text"
    return HALF_A_CHARACTER if has_half_a_character(value) else None


def has_half_a_character(text: str) -> bool:
    """Tell whether a text holds a lone surrogate, which no file of UTF-8 can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
