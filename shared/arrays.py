"""The types of arrays and ranges that are handed from module to module."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# float32 [n, C]: raw logits, one row per example or mix; C is 1 for regression.
Logits = npt.NDArray[np.float32]
# int64 [n]: numbers of examples, pairs or rows.
Indices = npt.NDArray[np.int64]
# [start, stop): consecutive rows of a kind, such as those of a shard.
RowRange = tuple[int, int]
