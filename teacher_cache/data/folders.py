"""Read a folder of `train.*` and, if it has any, validation files; or a single file.

`label_names.txt` in the folder lists the classes, one per line.
"""

from __future__ import annotations

import os
from pathlib import Path

from mixkd.shared.errors import DataError
from mixkd.teacher_cache.data.files import READERS, read_file, read_text
from mixkd.teacher_cache.data.sources import About, Source, readable, validation_splits

LABEL_NAMES_FILE = "label_names.txt"


def read_path(path: Path, validations: tuple[str, ...]) -> Source:
    """Read a folder of `train.*` and validation files, or a single file of training rows.

    Raises:
        DataError: If there is no file of training rows, or two files for one split.
    """
    if not path.is_dir():
        return Source({"train": read_file(path)}, about=_about(path))
    files: dict[str, list[Path]] = {}
    with readable(path, expected="a folder that can be listed", do="check its permissions"):
        # Pipes and links to nowhere are listed too: they are named when they are to be read.
        for file in sorted(file for file in path.iterdir() if not file.is_dir()):
            files.setdefault(file.name.partition(".")[0], []).append(file)
    chosen = {"train": _only(path, files, "train")}
    for name in validation_splits(files, validations):
        chosen[name if name in validations else "validation"] = _only(path, files, name)
    names = path / LABEL_NAMES_FILE
    lines = read_text(names).splitlines() if os.path.lexists(names) else ()
    label_names = tuple(line.strip() for line in lines if line.strip())
    tables = {name: read_file(file) for name, file in chosen.items()}
    return Source(tables, label_names, about=_about(path))


def _about(path: Path) -> About:
    # Names of files are bytes; those of a cache are text.
    return {"data": os.fsencode(path.resolve().name).decode(errors="replace")}


def _only(folder: Path, files: dict[str, list[Path]], split: str) -> Path:
    """Return the split's one file."""
    found = files.get(split, [])
    if len(found) > 1:
        raise DataError(
            folder,
            expected=f"one file {split}.*",
            found=", ".join(file.name for file in found),
            do="keep one of them, or name a file with --data",
        )
    if not found:
        names = sorted(file.name for file in folder.iterdir())
        raise DataError(
            folder,
            expected=f"a file {split} with one of {', '.join(READERS)}",
            found=", ".join(names[:8]) or "an empty folder",
            do="rename the file of training rows, or name it with --data",
        )
    return found[0]
