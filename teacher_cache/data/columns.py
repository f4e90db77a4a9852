"""Choose the text columns, and check that each row has its texts."""

from __future__ import annotations

from mixkd.shared.errors import DataError
from mixkd.teacher_cache.data.sources import Table

WELL_KNOWN_TEXTS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("sentence",),
    ("text",),
)
TEXT_OPTION = "--text-columns"
HALF_A_CHARACTER = "half a character (a lone surrogate)"


def choose_texts(
    table: Table, wanted: tuple[str, ...], usual: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Choose the text columns: those asked for, else the first existing ones of usual names.

    Args:
        usual: The task's own names, tried before the well-known ones.

    Raises:
        DataError: If a wanted column is missing, or nothing has a usual name.
    """
    if wanted:
        for name in wanted:
            table.column(name, TEXT_OPTION)
        return wanted
    for names in (usual, *WELL_KNOWN_TEXTS):
        if names and set(names) <= set(table.columns):
            return names
    known = "; ".join(" + ".join(names) for names in WELL_KNOWN_TEXTS)
    raise DataError(
        table.where,
        expected=f"one or two text columns under well-known names ({known})",
        found=f"the columns {table.listed}",
        do=f"name one or two with {TEXT_OPTION}",
    )


def texts(table: Table, name: str, *, may_be_empty: bool = False) -> list[str]:
    """Read a column of texts.

    Raises:
        DataError: On a value that is not a string, or is empty unless `may_be_empty`.
    """
    values = table.column(name, TEXT_OPTION)
    for row, value in enumerate(values, 1):
        problem = _problem(value, may_be_empty)
        if problem is not None:
            raise DataError(
                f"{table.where}, row {row}, column {name}",
                expected="text",
                found=problem,
                do=f"remove or correct the row, or choose different columns with {TEXT_OPTION}",
            )
    return [str(value) for value in values]


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
