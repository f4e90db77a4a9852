"""Which columns are texts, and whether each row has one."""

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


def choose_texts(table: Table, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The text columns: those asked for, or the first well-known ones that are there."""
    if wanted:
        for name in wanted:
            table.column(name, TEXT_OPTION)
        return wanted
    for names in WELL_KNOWN_TEXTS:
        if set(names) <= set(table.columns):
            return names
    known = "; ".join(" + ".join(names) for names in WELL_KNOWN_TEXTS)
    raise DataError(
        table.where,
        expected=f"one or two text columns under well-known names ({known})",
        found=f"the columns {', '.join(table.columns) or 'of no row'}",
        do=f"name one or two with {TEXT_OPTION}",
    )


def texts(table: Table, name: str, *, may_be_empty: bool = False) -> list[str]:
    """A column of texts.

    Raises:
        DataError: On a value that is no text, or empty unless `may_be_empty`.
    """
    values = table.column(name, TEXT_OPTION)
    for row, value in enumerate(values, 1):
        found = _fault_of_text(value, may_be_empty)
        if found is not None:
            raise DataError(
                f"{table.where}, row {row}, column {name}",
                expected="text",
                found=found,
                do=f"remove the row or mend it, or choose other columns with {TEXT_OPTION}",
            )
    return [str(value) for value in values]


def _fault_of_text(value: object, may_be_empty: bool) -> str | None:
    if not isinstance(value, str):
        return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
    if not may_be_empty and not value.strip():
        return "an empty text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "half a character (a lone surrogate)"
    return None
