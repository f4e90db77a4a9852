"""From rows to mixes: the rows of a shard as pairs, split by split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixkd.shared.cache.codecs.base import Columns
from mixkd.shared.cache.header import Identity
from mixkd.shared.pairs import PairTable


@dataclass(frozen=True, slots=True)
class SplitRows:
    """Rows of one split.

    Attributes:
        split: The split's name.
        positions: Where the rows are among the given ones, int64 [n].
        pairs: The rows as pairs of the split's examples [n].
    """

    split: str
    positions: npt.NDArray[np.int64]
    pairs: PairTable


def rows_by_split(identity: Identity, columns: Columns) -> Iterator[SplitRows]:
    """Give the rows of a shard of either kind as pairs: what teacher and student make mixes of.

    Args:
        columns: `left`, `right`, `lam`, or `split`, `example`; with or without `logits`.
    """
    logits = columns.get("logits")
    if "lam" in columns:
        pairs = PairTable(columns["left"], columns["right"], columns["lam"], logits)
        yield SplitRows("train", np.arange(len(pairs)), pairs)
        return
    for number, split in enumerate(identity.splits):
        positions = np.flatnonzero(columns["split"] == number)  # [n]
        if len(positions):
            own = None if logits is None else logits[positions]  # [n, C]
            pairs = PairTable.originals(columns["example"][positions], own)
            yield SplitRows(split.name, positions, pairs)
