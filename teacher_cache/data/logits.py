"""Logits that a model elsewhere gave: read from a table's columns and checked, row by row."""

from __future__ import annotations

import json
import logging
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixkd.shared.data.sources import Source, Table
from mixkd.shared.errors import DataError
from mixkd.shared.metrics import MULTI_LABEL
from mixkd.shared.options import check, check_choice

log = logging.getLogger(__name__)
Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Kind = Literal["logits", "probabilities"]
KINDS = ("auto", "logits", "probabilities")
COLUMN_OPTION, KIND_OPTION = "--logits-column", "--logits-kind"
TOLERANCE = 1e-3  # of probabilities and their sums
UNLIKELY = 0.5  # a share of logits that look like probabilities: few do
FLOOR = 1e-7  # of a probability, whose logarithm is stored: -16.1


@dataclass(frozen=True, slots=True)
class LogitsSpec:
    """Where the logits are; the options of the same meaning.

    Attributes:
        columns: One column of lists of C numbers, or C columns of one number each.
        kind: `auto` takes rows in [0, 1] that sum to 1, both within 1e-3, as probabilities; of
            multi-label, where labels do not exclude each other, rows in [0, 1].
        dtype: What they are stored in: larger numbers are refused.

    Raises:
        UsageError: On construction, naming the option.
    """

    columns: tuple[str, ...]
    kind: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        different = bool(self.columns) and len({*self.columns}) == len(self.columns)
        expected = "a column, or different columns in the order of the classes"
        check(
            COLUMN_OPTION, ",".join(self.columns), different, expected, "name the column of logits"
        )
        check_choice(KIND_OPTION, self.kind, KINDS)

    @property
    def named(self) -> str:
        """The columns, for messages."""
        return f"column{'s' * (len(self.columns) > 1)} {', '.join(self.columns)}"


@dataclass(frozen=True, slots=True)
class GivenLogits:
    """What the columns hold; no values where a teacher is to give them.

    Attributes:
        kind: What the numbers are; logits until `decided`.
        values: Split name -> the numbers as given, float64 [n, C].
    """

    kind: Kind = "logits"
    values: dict[str, Float] = field(default_factory=dict)

    def check_width(self, spec: LogitsSpec, label_names: tuple[str, ...]) -> None:
        """Compare the width with the classes; none are a regression.

        Raises:
            DataError: Naming both.
        """
        width = next(iter(self.values.values())).shape[1]
        classes = len(label_names) or 1
        if width != classes:
            listed = ", ".join(label_names[:6]) + (", …" if classes > 6 else "")
            for_what = f"one for each class ({listed})" if label_names else "for a regression"
            raise DataError(
                spec.named,
                expected=f"{classes} number{'s' * (classes > 1)} per row, {for_what}",
                found=width,
                do=f"name a different column with {COLUMN_OPTION}, or the classes in the order of "
                "the numbers with --label-names",
            )

    def as_logits(self, problem_type: str) -> dict[str, Float]:
        """Return logits, float64 [n, C] per split.

        Probabilities become their natural logarithms, of at least 1e-7: their softmax at
        temperature 1 is what was given. For multi-label it is the logarithm of p / (1 - p), of p
        from 1e-7 to 1 - 1e-7: its sigmoid is what was given.
        """
        if self.kind == "logits":
            return self.values
        if problem_type == MULTI_LABEL:
            inside = {name: np.clip(p, FLOOR, 1 - FLOOR) for name, p in self.values.items()}
            return {name: np.log(p) - np.log1p(-p) for name, p in inside.items()}
        return {name: np.log(np.maximum(rows, FLOOR)) for name, rows in self.values.items()}


def take_logits(source: Source, spec: LogitsSpec | None) -> tuple[Source, GivenLogits]:
    """Read the columns of every split, and take them out of the source's tables.

    Raises:
        DataError: On a missing column, and on rows that are not C finite numbers, naming the first.
    """
    if spec is None:
        return source, GivenLogits()
    values = _values(source.tables, spec)
    tables = {
        name: replace(
            table, columns={c: v for c, v in table.columns.items() if c not in spec.columns}
        )
        for name, table in source.tables.items()
    }
    return replace(source, tables=tables), GivenLogits(values=values)


def decided(
    given: GivenLogits, tables: Mapping[str, Table], spec: LogitsSpec, problem_type: str
) -> GivenLogits:
    """Decide whether the numbers are logits or probabilities.

    Raises:
        DataError: On rows that are not of the kind that was asked for, naming the first.
    """
    return replace(given, kind=_kind(tables, given.values, spec, problem_type))


def _values(tables: Mapping[str, Table], spec: LogitsSpec) -> dict[str, Float]:
    """Read each split's numbers, float64 [n, C], of one width in all of them."""
    values: dict[str, Float] = {}
    width = len(spec.columns) if len(spec.columns) > 1 else 0
    for name, table in tables.items():
        columns = [table.column(column, COLUMN_OPTION) for column in spec.columns]
        numbers = array("d")
        for at, cells in enumerate(zip(*columns, strict=True), 1):
            try:
                row = _row(cells, width, spec.dtype)
            except ValueError as problem:
                shown = cells if len(cells) > 1 else cells[0]
                expected = f"{width or 'a list of'} finite numbers, one for each class"
                do = "correct or remove the row"
                raise _bad(table, at, spec, expected, f"{problem}: {shown!r:.80}", do) from None
            width = len(row)
            numbers.extend(row)
        values[name] = np.array(numbers, np.float64).reshape(len(table), width)  # [n, C]
    return values


def _row(cells: Sequence[object], width: int, dtype: str) -> list[float]:
    """Read one row, of `width` numbers unless that is 0.

    Raises:
        ValueError: With what is wrong.
    """
    parts = [_numbers(cell) for cell in cells]
    if len(parts) > 1 and any(len(part) != 1 for part in parts):
        raise ValueError("several numbers in one of several columns")
    row = [number for part in parts for number in part]
    if width and len(row) != width:
        raise ValueError(f"{len(row)} number{'s' * (len(row) > 1)}")
    if not all(map(math.isfinite, row)):
        raise ValueError("NaN or infinity")
    if max(map(abs, row)) > float(np.finfo(dtype).max):
        raise ValueError(f"a number too large for {dtype}")
    return row


def _numbers(cell: Any) -> list[float]:
    """Read a cell: a list of numbers, one number, or text that spells either as JSON."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            raise ValueError("text that is not a JSON list of numbers") from None
    values = list(cell) if isinstance(cell, list | tuple) else [cell]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            kind = "nothing" if value is None else f"a value of type {type(value).__name__}"
            raise ValueError(kind)
    if not values:
        raise ValueError("an empty list")
    try:
        return list(map(float, values))
    except OverflowError:
        raise ValueError("a number that is too large") from None


def _kind(
    tables: Mapping[str, Table], values: dict[str, Float], spec: LogitsSpec, problem_type: str
) -> Kind:
    """Decide what the numbers are, or check what was said of them.

    What could be either is not guessed: a single wrong row would change what all of them mean.
    """
    if spec.kind == "logits":
        return "logits"
    inside = {name: _in_range(rows) for name, rows in values.items()}  # [n] each
    sums = problem_type != MULTI_LABEL
    fitting = inside
    if sums:
        fitting = {name: inside[name] & _sum_to_one(rows) for name, rows in values.items()}
    all_fitting = np.concatenate(list(fitting.values()))
    if spec.kind == "auto":
        width = next(iter(values.values())).shape[1]
        split, row = _first_other(inside)
        why = f"row {row + 1} of {split} is not in [0, 1]" if split else "each row is one number"
        if width == 1 or (split and all_fitting.mean() <= UNLIKELY):
            log.info("%s: taken as logits, since %s", spec.named, why)
            return "logits"
    split, row = _first_other(fitting)
    if not split:
        why = "each row is in [0, 1]" + " and sums to 1" * sums
        log.info("%s: taken as probabilities, since %s; stored as logarithms", spec.named, why)
        return "probabilities"
    numbers = values[split][row]
    found = f"the sum {numbers.sum():.6g}"
    if not inside[split][row]:
        found = f"{numbers[~_in_range(numbers[:, None])][0]:g}"
    wanted = "probabilities in [0, 1]" + " that sum to 1" * sums
    if spec.kind == "probabilities":
        expected = wanted
        do = f"correct the row, or say {KIND_OPTION} logits if they are logits"
    else:
        likely = f"{all_fitting.sum()} of {len(all_fitting)} rows"
        expected = f"{wanted}, as in {likely}, or logits"
        do = f"correct the row, or say which they are with {KIND_OPTION}"
    raise _bad(tables[split], row + 1, spec, expected, found, do)


def _in_range(rows: Float) -> Mask:
    within = (rows >= -TOLERANCE) & (rows <= 1 + TOLERANCE)  # [n, C]
    return np.asarray(within.all(axis=1))


def _sum_to_one(rows: Float) -> Mask:
    return np.asarray(np.abs(rows.sum(axis=1) - 1) <= TOLERANCE)


def _first_other(good: dict[str, Mask]) -> tuple[str, int]:
    """Find the split and the position of the first row that is not good; no split if all are."""
    for split, rows in good.items():
        if not rows.all():
            return split, int(rows.argmin())
    return "", 0


def _bad(table: Table, row: int, spec: LogitsSpec, expected: str, found: str, do: str) -> DataError:
    where = f"{table.where}, row {row}, {spec.named}"
    return DataError(where, expected=expected, found=found, do=do)
