"""Find the column of texts and the column of labels by their values, where no name says it.

    utterance,intent        rows of words that hardly repeat, and few values that do

The rows of a sample decide: most texts differ, most labels repeat, and an id does neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from mixkd.shared.data.sources import Column, Table

SAMPLE_ROWS = 2**14
COLUMNS_LIMIT = 200  # of a table that is looked at
LABEL_CHARACTERS = 100
IDS = {"", "id", "ids", "idx", "index", "guid", "uid", "uuid", "url", "unnamed: 0"}
TEXT, LABEL, ONE_WORD, OTHER = "text", "label", "one word", "other"


@dataclass(frozen=True, slots=True)
class Guess:
    """Names of the columns that may hold texts, and of those that may hold labels."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]


def guess_columns(table: Table, texts: tuple[str, ...], label: str | None) -> Guess:
    """Sort the columns by their first rows.

    Args:
        texts, label: Those that are known already; what is known is not looked for.
    """
    kinds: dict[str, str] = {}
    for name in islice(table.columns, COLUMNS_LIMIT):
        if name not in texts and name != label:
            kinds[name] = _kind(name, table.columns[name], name in table.class_names)

    def of(*wanted: str) -> tuple[str, ...]:
        return tuple(name for name, kind in kinds.items() if kind in wanted)

    found = of(TEXT) or of(ONE_WORD)
    if not found and label is not None:
        found = of(LABEL)  # texts of which most repeat
    return Guess(texts or found, (label,) if label is not None else of(LABEL))


def _kind(name: str, column: Column, is_named: bool) -> str:
    if is_named:
        return LABEL
    if name.casefold() in IDS or name.casefold().endswith("_id"):
        return OTHER
    try:
        sample = islice(column, SAMPLE_ROWS)
        values = [value for value in sample if value not in (None, "")]
    except Exception:  # of any library: images, times that Python does not have
        return OTHER
    if not values:
        return OTHER
    if all(isinstance(value, list) for value in values):
        return LABEL  # several per row
    flat = [value for value in values if isinstance(value, str | int | float)]
    if len(flat) < len(values):
        return OTHER
    numbers = [_number(value) for value in flat]
    distinct = len({*values})
    repeats = 2 <= distinct <= len(values) / 2
    if None not in numbers:
        decimals = any(map(_is_decimal, flat))
        return LABEL if repeats or (decimals and distinct > 1) else OTHER
    texts = [str(value) for value in values]
    if repeats and max(map(len, texts)) <= LABEL_CHARACTERS:
        return LABEL
    of_words = sum(" " in text.strip() or not text.isascii() for text in texts)
    return TEXT if of_words > len(texts) / 10 else ONE_WORD


def _is_decimal(value: str | float) -> bool:
    """Say whether a number is written with a fraction or an exponent."""
    if isinstance(value, str):
        return not value.strip().lstrip("+-").isdecimal()
    return isinstance(value, float)


def _number(value: str | float) -> float | None:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
