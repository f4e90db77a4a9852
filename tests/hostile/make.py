"""Makes caches that attack who reads them, with valid digests, names, records and seals.

    python -m tests.hostile.make FOLDER [NAME ...]

They are code, not files in the repository, so that one can read what each of them does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.goldens.make import make as make_good
from tests.hostile import (
    make_arrow,
    make_bombs,
    make_examples,
    make_files,
    make_hdf5,
    make_json,
    make_links,
)
from tests.hostile.registry import HARMLESS, HOSTILE, Hostile

__all__ = [
    "HARMLESS",
    "HOSTILE",
    "Hostile",
    "make_arrow",
    "make_bombs",
    "make_examples",
    "make_files",
    "make_hdf5",
    "make_json",
    "make_links",
]

if __name__ == "__main__":
    both = {**HOSTILE, **HARMLESS}
    for name in sys.argv[2:] or both:
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True)
        (folder / "bait").write_bytes(b"bait")
        spoiled = make_good(folder / "cache", both[name].shard_format)
        both[name].spoil(spoiled, folder / "bait")
