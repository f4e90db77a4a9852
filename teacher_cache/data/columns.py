"""Choose the columns of texts and labels, and check that each row has its texts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mixkd.shared.errors import DataError
from mixkd.teacher_cache.data.guess import guess_columns
from mixkd.teacher_cache.data.sources import Table, python_values, readable

if TYPE_CHECKING:
    import pyarrow as pa

    from mixkd.teacher_cache.data.sources import Chunk
    from mixkd.teacher_cache.data.tasks import Task

log = logging.getLogger(__name__)
WELL_KNOWN_TEXTS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("sentence",),
    ("text",),
)
TEXT_OPTION, LABEL_OPTION = "--text-columns", "--label-column"
WELL_KNOWN_LABEL = "label"
HALF_A_CHARACTER = "half a character (a lone surrogate)"
TEXT_LIMIT_BYTES = 2**31 - 1  # of a split: offsets in the cache are of 32 bits
# What `str.strip` takes away: anything else in a text is content.
BLANK = "\\t-\\r\\x1c-\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"
CONTENT = f"[^{BLANK}\\x{{202f}}\\x{{205f}}\\x{{3000}}]"


def choose_columns(
    table: Table, texts: tuple[str, ...], label: str | None, task: Task | None
) -> tuple[tuple[str, ...], str]:
    """Choose the text columns and the label column, and log which they are.

    Those asked for come first, then the task's, then well-known names; what is still open is what
    the values leave: the one column that reads as text, the one that reads as labels.

    Raises:
        DataError: If a wanted column is missing, or there are none or several to choose from,
            naming them.
    """
    for name in texts:
        table.check_has(name, TEXT_OPTION)
    if label is not None:
        table.check_has(label, LABEL_OPTION)
    usual = task.label_column if task else WELL_KNOWN_LABEL
    label = label or next((n for n in (usual, WELL_KNOWN_LABEL) if n in table.columns), None)
    known = (task.text_columns if task else (), *WELL_KNOWN_TEXTS)
    texts = texts or next((n for n in known if n and {*n} <= {*table.columns} - {label}), ())
    if not texts or label is None:
        texts, label = _guessed(table, texts, label)
    several = "s" * (len(texts) > 1)
    log.info(
        "%s: text column%s: %s; label column: %s", table.where, several, ", ".join(texts), label
    )
    return texts, label


def _guessed(
    table: Table, texts: tuple[str, ...], label: str | None
) -> tuple[tuple[str, ...], str]:
    """Fill in what no name says, where the values allow one reading."""
    guess = guess_columns(table, texts, label)
    if len(guess.labels) == 1 and (texts or len(guess.texts) == 1):
        return texts or guess.texts, guess.labels[0]
    looked_for, found, do = [], [], []
    if not texts:
        looked_for.append("a column of texts")
        found.append(f"texts in {_listed(guess.texts)}")
        do.append(f"{TEXT_OPTION} {guess.texts[0] if guess.texts else 'NAME'}")
    if label is None:
        looked_for.append("a column of labels")
        found.append(f"labels in {_listed(guess.labels)}")
        do.append(f"{LABEL_OPTION} {guess.labels[0] if guess.labels else 'NAME'}")
    unlabelled = bool(texts) and label is None and not guess.labels
    least = "label rows, those for validation at least, or " * unlabelled
    raise DataError(
        table.where,
        expected=f"{' and '.join(looked_for)}, one that stands out",
        found=f"{', '.join(found)}, of the columns {table.listed}",
        do=f"{least}say which, as in {' '.join(do)}",
    )


def _listed(names: tuple[str, ...]) -> str:
    shown = " or ".join(names[:8]) or "none"
    return f"{shown}, …" if len(names) > 8 else shown


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
    do = f"remove or correct the row, or choose different columns with {TEXT_OPTION}"
    with readable(where, expected="values that can be decoded", do=do):
        values = python_values(chunk)
    for row, value in enumerate(values, first):
        problem = _problem(value, may_be_empty)
        if problem is not None:
            where = f"{table.where}, row {row}, column {name}"
            raise DataError(where, expected="text", found=problem, do=do)
    raise DataError(where, expected="text", found="what Arrow does not read as such", do=do)


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
