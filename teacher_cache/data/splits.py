"""Choose rows: a held-out tenth where no validation split exists, and a part of the training rows.

Both are stratified and fixed: they depend on the labels alone, never on `--seed`, so that the
teacher that `finetune` trains and the cache that is built from it see the same rows. A smaller
subset is part of a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Indices
from mixkd.shared.random import Stream, permutation

HELD_OUT = 0.1


@dataclass(frozen=True, slots=True)
class TextSplit:
    """One labelled split as text, row number = example id.

    Attributes:
        text_a, text_b: Texts of each row; `text_b` is None where there is one text column.
        labels: int64 [n] class numbers, or float32 [n] for regression.
    """

    text_a: list[str]
    text_b: list[str] | None
    labels: npt.NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Indices) -> TextSplit:
        """Return the split of these rows."""
        text_b = None if self.text_b is None else [self.text_b[row] for row in rows]
        return TextSplit([self.text_a[row] for row in rows], text_b, self.labels[rows])

    def sha256(self) -> str:
        """Digest the ordered (texts, label)."""
        from mixkd.shared.examples import texts_sha256  # which imports pyarrow

        columns = (self.text_a,) if self.text_b is None else (self.text_a, self.text_b)
        return texts_sha256(zip(*columns, strict=True), self.labels)


def hold_out(labels: npt.NDArray[np.generic]) -> tuple[Indices, Indices]:
    """Choose rows to train on and rows to validate on, both in order.

    A tenth of each class is held out, at least one row of it, but never a class's only row. For
    regression (float labels) it is a tenth of all rows.
    """
    held = np.zeros(len(labels), bool)
    for group, rows in enumerate(_groups(labels)):
        count = min(max(1, round(HELD_OUT * len(rows))), len(rows) - 1)
        held[_shuffled(rows, group, Stream.HELD_OUT)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def subset(labels: npt.NDArray[np.generic], fraction: float) -> Indices:
    """Choose a stratified part of all rows, in order, at least one of each class."""
    chosen = [
        _shuffled(rows, group, Stream.SUBSET)[: max(1, round(fraction * len(rows)))]
        for group, rows in enumerate(_groups(labels))
    ]
    return np.sort(np.concatenate(chosen))


def _groups(labels: npt.NDArray[np.generic]) -> list[Indices]:
    """List the rows of each class that occurs; all rows as one group for regression."""
    if labels.dtype.kind == "f":
        return [np.arange(len(labels))]
    in_order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[in_order], return_index=True)
    return np.split(in_order, starts[1:])


def _shuffled(rows: Indices, group: int, stream: Stream) -> Indices:
    return rows[permutation(0, group, len(rows), stream)]
