"""A separable multi-label data set in miniature: a text has the words of all its labels.

folder = write_tables(tmp_path / "data")   # train.jsonl, validation.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.given import SPLITS, Row, write_json
from tests.miniature import CUES, FILLERS

NAMES = tuple(sorted(CUES[:3]))  # bright, dull, odd
# Rows of every frequency, and some without any label.
CHANCES = {"bright": 0.6, "dull": 0.4, "odd": 0.25}


def rows(count: int, seed: int = 0) -> list[Row]:
    """Rows of `text` and `tags`, a list of names in no particular order."""
    choose = random.Random(seed)
    found: list[Row] = []
    for _ in range(count):
        tags = [name for name, chance in CHANCES.items() if choose.random() < chance]
        words = [*choose.choices(FILLERS, k=choose.randint(2, 8)), *tags]
        choose.shuffle(words)
        choose.shuffle(tags)
        found.append({"text": " ".join(words), "tags": tags})
    return found


def tables(count: int = 240) -> dict[str, list[Row]]:
    """Train, and half as many rows for validation."""
    return {split: rows(count // (number + 1), number) for number, split in enumerate(SPLITS)}


def write_tables(folder: Path, count: int = 240) -> Path:
    """Write a jsonl file per split."""
    return write_json(folder, tables(count))


def numbers(tags: list[Any]) -> list[int]:
    """0 and 1 for each label, in the order of the names."""
    return [int(name in tags) for name in NAMES]
