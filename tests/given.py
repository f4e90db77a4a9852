"""Tables of texts, labels and answers that a model elsewhere might have given.

folder = write_tables(tmp_path / "llm")              # train.jsonl, validation.jsonl
root = build_given(tmp_path / "cache", folder, tokenizer)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache
from tests.miniature import read_texts, tiny_data

SPLITS = ("train", "validation")
NAMES = ("dull", "odd")
Row = dict[str, Any]


def answers(folder: Path, rows: int = 48) -> dict[str, list[Row]]:
    """Rows of `text`, `label` (a name) and `llm`: probabilities that favour the label, mostly."""
    tiny_data(folder, rows)
    random = np.random.Generator(np.random.Philox(0))
    found: dict[str, list[Row]] = {}
    for split in SPLITS:
        (texts,), labels = read_texts(folder / f"{split}.tsv")
        found[split] = [
            {"text": text, "label": NAMES[int(label)], "llm": _probabilities(random, int(label))}
            for text, label in zip(texts, labels, strict=True)
        ]
    return found


def _probabilities(random: np.random.Generator, label: int) -> list[float]:
    sure = random.uniform(0.4, 1.0)
    return [1 - sure, sure] if label else [sure, 1 - sure]


def write_json(folder: Path, tables: dict[str, list[Row]]) -> Path:
    """Write a jsonl file per split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in tables.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def write_tables(folder: Path, rows: int = 48) -> Path:
    """Write `answers` as jsonl; folder/raw has the texts they are from."""
    return write_json(folder, answers(folder / "raw", rows))


def build_given(root: Path, data: Any, tokenizer: Path, **changes: Any) -> Path:
    """Build and seal a cache of the column `llm`."""
    options = {"logits_column": "llm", "tokenizer": str(tokenizer), **changes}
    build_cache(BuildOptions("given", 0, data=data, out=root, **options))
    return root
