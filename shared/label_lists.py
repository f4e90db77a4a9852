"""The labels of a row where it may have several: a list, text that spells one, or 0 and 1.

csv and tsv have nothing but text: there `["warm", "odd"]` and `[0, 2]` are lists, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence

from mixkd.shared.errors import DataError

ZEROS, ONES = ("0", "0.0", "false"), ("1", "1.0", "true")


def label_list(value: object) -> list[object] | None:
    """Return the labels in a value, None if it is not a list."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return list(value) if isinstance(value, list | tuple) else None


def flag_columns(wanted: str | None, columns: Container[str]) -> tuple[str, ...]:
    """Return the names of several columns that an option lists, one column of 0 and 1 per label;
    none where it names one column."""
    if wanted is None or "," not in wanted or wanted in columns:
        return ()
    return tuple(name.strip() for name in wanted.split(","))


def flagged(names: Sequence[str], cells: Sequence[object], where: str) -> list[object]:
    """Return the names whose cells of a row are 1: a number, a truth value, or text of either.

    Raises:
        DataError: On a cell that is neither 0 nor 1.
    """
    found: list[object] = []
    for name, cell in zip(names, cells, strict=True):
        spelled = str(cell).strip().lower()
        if spelled not in ZEROS + ONES:
            raise DataError(
                f"{where}, column {name}",
                expected="0 or 1",
                found=repr(cell)[:80],
                do="correct the row, or name different columns with --label-column",
            )
        if spelled in ONES:
            found.append(name)
    return found
