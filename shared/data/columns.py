"""Choose the columns of texts and labels, and check that each row has its texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixkd.shared.data.guess import guess_columns
from mixkd.shared.data.sources import Table, python_values, readable
from mixkd.shared.errors import DataError
from mixkd.shared.options import check

if TYPE_CHECKING:
    import pyarrow as pa

    from mixkd.shared.data.sources import Chunk

log = logging.getLogger(__name__)
WELL_KNOWN_TEXTS: tuple[tuple[str, ...], ...] = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("sentence",),
    ("text",),
    ("text_a", "text_b"),  # of a cache
)
TEXT_OPTION, LABEL_OPTION = "--text-columns", "--label-column"
WELL_KNOWN_LABEL = "label"
NO_LABEL = ""  # in place of a column of labels that is not looked for
OTHER_TEXTS = f"remove or correct the row, or choose different columns with {TEXT_OPTION}"
HALF_A_CHARACTER = "half a character (a lone surrogate)"
TEXT_LIMIT_BYTES = 2**31 - 1  # of a split: offsets in the cache are of 32 bits
# What `str.strip` takes away: anything else in a text is content.
BLANK = "\\t-\\r\\x1c-\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"
CONTENT = f"[^{BLANK}\\x{{202f}}\\x{{205f}}\\x{{3000}}]"


def check_number_of_texts(columns: Sequence[str]) -> None:
    """Refuse more than two text columns, or one of them twice.

    Raises:
        UsageError: Naming the option.
    """
    different = len(columns) <= 2 and len({*columns}) == len(columns)
    pairs = "a model reads one text or a pair of texts"
    check(TEXT_OPTION, ",".join(columns), different, "one or two different columns", pairs)


def choose_columns(
    table: Table,
    texts: tuple[str, ...],
    label: str | None,
    usual_texts: tuple[str, ...] = (),
    usual_label: str = WELL_KNOWN_LABEL,
) -> tuple[tuple[str, ...], str]:
    """Choose the text columns and the label column, and log which they are.

    Those asked for come first, then the usual ones, then well-known names; what is still open is
    what the values leave: the one column that reads as text, the one that reads as labels.

    Args:
        texts, label: Those asked for; empty and None find them.
        usual_texts, usual_label: Those of the task.

    Raises:
        DataError: If a wanted column is missing, or there are none or several to choose from,
            naming them.
    """
    if label is not None:
        table.check_has(label, LABEL_OPTION)
    known_labels = (usual_label, WELL_KNOWN_LABEL)
    label = label or next((name for name in known_labels if name in table.columns), None)
    texts = _by_name(table, texts, label, usual_texts)
    if not texts or label is None:
        texts, label = _guessed(table, texts, label)
    log.info("%s: %s; label column: %s", table.where, _said(texts), label)
    return texts, label


def choose_texts(table: Table, texts: tuple[str, ...], label: str | None) -> tuple[str, ...]:
    """Choose the text columns alone, as `choose_columns` does, and log which they are.

    Args:
        texts: Those asked for; empty finds them.
        label: The column of labels, where there is one.

    Raises:
        DataError: As `choose_columns` does.
    """
    texts = _by_name(table, texts, label)
    if not texts:
        texts, _ = _guessed(table, texts, label or NO_LABEL)
    log.info("%s: %s", table.where, _said(texts))
    return texts


def _by_name(
    table: Table, texts: tuple[str, ...], label: str | None, usual: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Take the text columns that are asked for, else those of usual names; empty is neither."""
    for name in texts:
        table.check_has(name, TEXT_OPTION)
    known = (usual, *WELL_KNOWN_TEXTS)
    return texts or next((n for n in known if n and {*n} <= {*table.columns} - {label}), ())


def _said(texts: tuple[str, ...]) -> str:
    return f"text column{'s' * (len(texts) > 1)}: {', '.join(texts)}"


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
    raise DataError(
        table.where,
        expected=f"{' and '.join(looked_for)}, one that stands out",
        found=f"{', '.join(found)}, of the columns {table.listed}",
        do=f"say which, as in {' '.join(do)}",
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
