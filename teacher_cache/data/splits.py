"""Which rows: a held-out tenth where there is no validation split, and a part of the training rows.

Both are stratified and fixed: they depend on the labels alone, never on `--seed`, so that the
teacher that `finetune` trains and the cache that is built from it see the same rows. A smaller
subset is part of a larger one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mixkd.shared.random import Stream, permutation

Rows = npt.NDArray[np.int64]
HELD_OUT = 0.1


def hold_out(labels: npt.NDArray[np.generic]) -> tuple[Rows, Rows]:
    """Rows to train on and rows to validate on, both in order.

    A tenth of each class is held out, at least one row of it, but never a class's only row. For
    regression (float labels) it is a tenth of all rows.
    """
    held = np.zeros(len(labels), bool)
    for group, rows in enumerate(_groups(labels)):
        count = min(max(1, round(HELD_OUT * len(rows))), len(rows) - 1)
        held[_shuffled(rows, group, Stream.HELD_OUT)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def subset(labels: npt.NDArray[np.generic], fraction: float) -> Rows:
    """Rows of a stratified part of all rows, in order, at least one of each class."""
    chosen = [
        _shuffled(rows, group, Stream.SUBSET)[: max(1, round(fraction * len(rows)))]
        for group, rows in enumerate(_groups(labels))
    ]
    return np.sort(np.concatenate(chosen))


def _groups(labels: npt.NDArray[np.generic]) -> list[Rows]:
    """The rows of each class that occurs; all rows as one group for regression."""
    if labels.dtype.kind == "f":
        return [np.arange(len(labels))]
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _shuffled(rows: Rows, group: int, stream: Stream) -> Rows:
    return rows[permutation(0, group, len(rows), stream)]
