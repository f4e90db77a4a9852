"""Names of starting points: each is called by the teacher's layers that it consists of.

So a folder under `student_init/` says by itself what it holds, `layers-0-2-5`, and the choice is
written down nowhere else. Which layers are worth starting from depends on teacher and task
(`docs/results.md`), so a cache may hold several starts of one depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Layers = tuple[int, ...]  # of the teacher, counted from 0, ascending
Rule = Literal["first", "spread"]
RULES: tuple[Rule, ...] = ("first", "spread")
DEFAULT_RULE: Rule = "spread"
START_PATTERN = r"layers(-(0|[1-9][0-9]{0,2})){1,48}"  # a name that every file system takes
DEPTH_LIMIT = 48


def layers_by(rule: Rule, depth: int, of: int) -> Layers:
    """Choose layers.

    `first` is that of Patient Knowledge Distillation (Sun et al., EMNLP 2019, arXiv 1908.09355) and
    MixKD. `spread` takes them evenly, the first and the last among them, as the script that cut
    DistilBERT's start out of BERT does (Sanh et al., 2019, arXiv 1910.01108: one layer out of two).

    Args:
        depth: How many to choose.
        of: How many there are.
    """
    if rule == "first" or depth == 1:
        return tuple(range(depth))
    return tuple(round(k * (of - 1) / (depth - 1)) for k in range(depth))


def start_name(layers: Sequence[int]) -> str:
    """Return the name of the start that consists of these layers."""
    return "-".join(("layers", *map(str, layers)))


def layers_of(name: str) -> Layers:
    """Return the layers that the name of a start says."""
    return tuple(map(int, name.split("-")[1:]))


def listed(layers: Sequence[int]) -> str:
    """Return layers as the options take them: `0-2-5`."""
    return "-".join(map(str, layers))
