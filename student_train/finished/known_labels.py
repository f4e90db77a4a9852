"""Convert the labels in a table to those of a model: its names, or their numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixkd.shared.errors import DataError, LabelOrderError
from mixkd.shared.examples import Array
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION

NAMES_SHOWN = 6
# Names that say no more than a number does: those of `transformers`, and those of a cache that was
# made from numbers.
NUMBER = re.compile(r"(LABEL_)?\d+")


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """The labels that a model answers with.

    Attributes:
        names: In the order of its logits; empty for regression, whose labels are numbers.
    """

    names: tuple[str, ...]

    @property
    def problem_type(self) -> str:
        return CLASSIFICATION if self.names else REGRESSION

    def knows(self, value: object, class_names: Sequence[str] = ()) -> bool:
        """Tell whether a value of a column is a label."""
        return self.number(value, class_names) is not None

    def number(
        self, value: object, class_names: Sequence[str] = (), *, by_name: bool | None = None
    ) -> float | None:
        """Convert one label to its class number, or its score; None if it is not a label.

        Args:
            class_names: What the table's own numbers mean, where it says so.
            by_name: Whether labels are names, or else numbers; None takes either.
        """
        if not self.names:
            number = _number(value)
            return number if number is not None and math.isfinite(number) else None
        if class_names and isinstance(value, int) and 0 <= value < len(class_names):
            name = class_names[value]
            if name in self.names or not self._match_by_position(class_names):
                return self._by_name(name)
        if by_name is not False and (found := self._by_name(str(value))) is not None:
            return found
        number = None if by_name else _number(value)
        valid = number is not None and number.is_integer() and 0 <= number < len(self.names)
        return number if valid else None

    def numbers(
        self, values: Sequence[object], where: str, column: str, class_names: Sequence[str] = ()
    ) -> Array:
        """Convert a column: int64 [n] class numbers, or float32 [n] scores.

        All are names, or all are numbers, whichever most of them are.

        Raises:
            DataError: Naming the first row of a label that the model does not know.
        """
        ways = (True, False) if self.names else (None,)
        found = [[self.number(value, class_names, by_name=way) for value in values] for way in ways]
        best = min(found, key=lambda numbers: numbers.count(None))
        if None in best:
            row = best.index(None)
            raise DataError(
                f"{where}, row {row + 1}, column {column}",
                expected=f"a label that the model knows ({self})",
                found=_shown(values[row], class_names),
                do="correct the row, or choose another --label-column, --split or model",
            )
        return np.asarray(best, np.int64 if self.names else np.float32)

    def columns_of(self, names: Sequence[str], where: str) -> list[int]:
        """Return, for each of this model's labels, the position of the same label in `names`.

        Raises:
            LabelOrderError: If they are not the same labels.
        """
        if sorted(self.names) == sorted(names):
            return [list(names).index(name) for name in self.names]
        if self._match_by_position(names):
            return list(range(len(names)))
        raise LabelOrderError(
            where,
            expected=f"the model's labels ({self})",
            found=str(KnownLabels(tuple(names))),
            do="evaluate a student of this cache, or leave --cache out",
        )

    def _match_by_position(self, names: Sequence[str]) -> bool:
        """Tell whether other names are as many, and one side's say no more than numbers do."""
        sides = (self.names, names)
        numbered = (all(NUMBER.fullmatch(name) for name in side) for side in sides)
        return len(self.names) == len(names) and any(numbered)

    def __str__(self) -> str:
        more = ", …" if len(self.names) > NAMES_SHOWN else ""
        return ", ".join(self.names[:NAMES_SHOWN]) + more if self.names else "a finite number"

    def _by_name(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None


def _shown(value: object, class_names: Sequence[str]) -> str:
    named = isinstance(value, int) and 0 <= value < len(class_names)
    return f"{value!r}{f' ({class_names[int(str(value))]})' if named else ''}"[:80]


def _number(value: object) -> float | None:
    if not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
