"""The one table of pairs, from the plan to the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class PairTable:
    """Pairs of examples of one split. An original is the pair (i, i, 1).

    Attributes:
        left, right: Example ids, integers [n].
        lam: float32 [n], the weight of the left side.
        logits: The teacher's raw logits [n, C], where they are known.
    """

    left: npt.NDArray[np.integer]
    right: npt.NDArray[np.integer]
    lam: npt.NDArray[np.float32]
    logits: npt.NDArray[Any] | None = None

    @classmethod
    def originals(
        cls, examples: npt.ArrayLike, logits: npt.NDArray[Any] | None = None
    ) -> PairTable:
        """Return the examples themselves as pairs (i, i, 1)."""
        ids = np.asarray(examples, np.int64)
        return cls(ids, ids, np.ones(len(ids), np.float32), logits)

    @classmethod
    def none(cls, classes: int, dtype: npt.DTypeLike = np.float32) -> PairTable:
        """Return a table without rows, with logits [0, C]."""
        ids = np.empty(0, np.uint32)
        return cls(ids, ids, np.empty(0, np.float32), np.empty((0, classes), dtype))

    @classmethod
    def concatenate(cls, tables: Sequence[PairTable]) -> PairTable:
        """Return the rows of all tables in order; logits only if every table has them."""
        logits = [table.logits for table in tables if table.logits is not None]
        return cls(
            np.concatenate([table.left for table in tables]),
            np.concatenate([table.right for table in tables]),
            np.concatenate([table.lam for table in tables]),
            np.concatenate(logits) if len(logits) == len(tables) else None,
        )

    @property
    def known_logits(self) -> npt.NDArray[Any]:
        """The logits [n, C] of a table that has them.

        Raises:
            ValueError: If it has none.
        """
        if self.logits is None:
            raise ValueError("these pairs have no logits")
        return self.logits

    def __len__(self) -> int:
        return len(self.lam)

    def __getitem__(self, rows: slice | npt.NDArray[np.integer]) -> PairTable:
        logits = None if self.logits is None else self.logits[rows]
        return PairTable(self.left[rows], self.right[rows], self.lam[rows], logits)
