"""Everything that a student reads of a cache, read by the default reader."""

from __future__ import annotations

from pathlib import Path

from mixkd.shared.cache.reader import Cache


def read_all(root: Path) -> Cache:
    """Open the cache and read all its examples, logits, pairs and folders.

    Raises:
        MixkdError: As the reader does; nothing else, whatever the files hold.
    """
    cache = Cache.open(root)
    cache.check_alignment()
    for record in cache.pair_records:
        cache.read(record)
    for layers in cache.starts:
        cache.student_folder(layers)
    cache.tokenizer_folder()
    return cache


def files_read(root: Path) -> list[Path]:
    """The files that `read_all` depends on."""
    seal = Cache.open(root).seal
    named = [*(record.file for record in seal.shards), *(file.path for file in seal.files)]
    return [root / "MANIFEST.json", *(root / name for name in sorted(named))]
