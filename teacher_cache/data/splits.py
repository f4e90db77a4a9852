"""Choose rows: a held-out tenth where no validation split exists, and a part of the training rows.

Both are stratified and fixed: they depend on the labels alone, never on `--seed`, so that the
teacher that `finetune` trains and the cache that is built from it see the same rows. A smaller
subset is part of a larger one.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Indices
from mixkd.shared.random import Stream, permutation

if TYPE_CHECKING:
    import pyarrow as pa

HELD_OUT = 0.1


@dataclass(frozen=True, slots=True)
class TextSplit:
    """One labelled split as text, row number = example id.

    Attributes:
        text_a, text_b: Arrow's strings, the texts of each row, in chunks as they were read or as
            one array; `text_b` is None where there is one text column.
        labels: int64 [n] class numbers, int8 [n, C] of 0 and 1 for multi-label, or float32 [n] for
            regression; -1 or NaN where a row has none.
        logits: As given beside the texts, float64 [n, C]; None where a teacher is to give them.
        kept: Further columns to take along, None where there are none.
    """

    text_a: pa.StringArray | pa.ChunkedArray
    text_b: pa.StringArray | pa.ChunkedArray | None
    labels: npt.NDArray[np.generic]
    _: KW_ONLY
    logits: npt.NDArray[np.float64] | None = None
    kept: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Indices) -> TextSplit:
        """Return the split of these rows, which are in order: chunk by chunk, without a copy of
        all."""
        taken = np.zeros(len(self), bool)
        taken[rows] = True

        def part(values: Any) -> Any:
            return None if values is None else values.filter(taken)

        return replace(
            self,
            text_a=part(self.text_a),
            text_b=part(self.text_b),
            labels=self.labels[rows],
            logits=None if self.logits is None else self.logits[rows],
            kept=part(self.kept),
        )

    def compact(self) -> TextSplit:
        """Return the split with each column as one array."""

        import pyarrow as pa

        def whole(texts: Any) -> Any:
            return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts

        kept = None if self.kept is None else self.kept.combine_chunks()
        return replace(self, text_a=whole(self.text_a), text_b=whole(self.text_b), kept=kept)

    def sha256(self) -> str:
        """Digest the ordered (texts, label)."""
        from mixkd.shared.examples import texts_sha256  # which imports pyarrow

        columns = (self.text_a,) if self.text_b is None else (self.text_a, self.text_b)
        return texts_sha256(columns, self.labels)


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
    """List the rows of each class that occurs; all rows as one group for regression.

    For multi-label a row belongs to the rarest of its labels: each label, and the rare ones first,
    has its part of the rows. Those without a label are a group of their own.
    """
    if labels.dtype.kind == "f":
        return [np.arange(len(labels))]
    if labels.ndim == 2:
        has = np.asarray(labels == 1)  # [n, C]
        rarest = np.full(len(labels), -1)  # [n]
        for label in np.argsort(-has.sum(axis=0), kind="stable"):
            rarest[has[:, label]] = label
        return _groups(rarest)
    in_order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[in_order], return_index=True)
    return np.split(in_order, starts[1:])


def _shuffled(rows: Indices, group: int, stream: Stream) -> Indices:
    return rows[permutation(0, group, len(rows), stream)]
