"""Columns of any layout, for tests of the shard formats."""

from __future__ import annotations

import numpy as np

from mixkd.shared.cache.codecs.base import Columns, Layout

FINGERPRINT = "f" * 64
PAIRS = Layout(FINGERPRINT, "pairs", 32, 39, 3, "float32")


def columns_of(layout: Layout, seed: int = 0) -> Columns:
    """Random columns, extreme floats among them."""
    choose = np.random.default_rng(seed)
    columns: Columns = {}
    for name, (dtype, _) in layout.columns.items():
        shape = layout.shape(name)
        if dtype.kind == "f":
            columns[name] = choose.random(shape).astype(dtype)
            columns[name].flat[0] = -0.0
            columns[name].flat[-1] = np.finfo(dtype).smallest_subnormal
        else:
            columns[name] = choose.integers(0, 100, shape, dtype)
    return columns
