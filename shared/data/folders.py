"""Read a folder of files, one or several per split; a folder that `datasets` saved; or one file.

Which split a file belongs to follows its name as `datasets` has it: `train.csv`,
`imdb-test.jsonl`, `data/train-00000-of-00002.parquet`, `train/part1.json`. `label_names.txt` in the
folder lists the classes, one per line.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from mixkd.shared.data.files import (
    EXTENSIONS,
    TEXTS,
    extensions,
    is_table,
    read_file,
    read_text,
    stem_of,
)
from mixkd.shared.data.named_splits import TESTS, VALIDATIONS, Splits
from mixkd.shared.data.objects import read_saved
from mixkd.shared.data.sources import About, Column, Source, Table, readable
from mixkd.shared.errors import DataError

log = logging.getLogger(__name__)
LABEL_NAMES_FILE = "label_names.txt"
SAVED = ("dataset_dict.json", "state.json")  # of a DatasetDict, of a Dataset
TRAINS = ("train", "training")
SPLITS = (*TRAINS, *VALIDATIONS, *TESTS)
NAMED = re.compile(rf"({'|'.join(SPLITS)})(_[a-z0-9_]+)?")  # validation_matched
PART = re.compile(r"[-_. ]?(part[-_. ]?)?\d+([-_.]of[-_.]\d+)?$")
FILES_LIMIT = 10_000


def read_path(path: Path, wanted: Splits) -> Source:
    """Read the wanted splits of a folder, or a single file.

    Raises:
        DataError: If a split has no file, or files that contradict each other.
    """
    if not path.is_dir():
        wanted.choose(path, None)
        return Source({"train": read_file(path)}, about=_about(path))
    with readable(path, expected="a folder that can be listed", do="check its permissions"):
        # Pipes and links to nowhere are listed too: they are named when they are to be read.
        files = _listed(path)
    if any(path.joinpath(name).is_file() for name in SAVED):
        return read_saved(path, _about(path), wanted)
    splits = _splits(path, files, wanted.named)
    parts = splits or {"train": _alike(path, files)}
    chosen = wanted.choose(path, splits or None)
    chosen = {
        "validation" if own in VALIDATIONS and own not in wanted.named else name: own
        for name, own in chosen.items()
    }
    names = path / LABEL_NAMES_FILE
    lines = read_text(names).splitlines() if os.path.lexists(names) else ()
    label_names = tuple(line.strip() for line in lines if line.strip())
    tables = {name: _read(path, own, parts[own]) for name, own in chosen.items()}
    return Source(tables, label_names, about=_about(path))


def _about(path: Path) -> About:
    # Names of files are bytes; those of a cache are text.
    return {"data": os.fsencode(path.resolve().name).decode(errors="replace")}


def _listed(folder: Path) -> list[Path]:
    """List the files of a folder and of the folders directly in it, without hidden ones."""
    files: list[Path] = []
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if place == folder or not place.name.startswith("."):
            files += sorted(file for file in place.iterdir() if not file.is_dir())
    return [file for file in islice(files, FILES_LIMIT) if not file.name.startswith(".")]


def _splits(folder: Path, files: list[Path], named: Collection[str]) -> dict[str, list[Path]]:
    """Sort the files that are tables into splits, train first; none where no name says so."""
    found: dict[str, list[Path]] = {}
    beside = [file for file in files if file.parent == folder]
    if any(_split_of(file) == "train" for file in beside):
        files = beside  # what lies in folders below is something else, such as raw data
    tables = _tables(files)
    for file in files:
        own = _split_of(file) if file.parent == folder else _split_of(file, file.parent.name)
        if own and (file in tables or (file.parent == folder and _bare(file) in SPLITS)):
            found.setdefault(own, []).append(file)
    others = {stem_of(file): [file] for file in tables if _split_of(file, file.parent.name) is None}
    if found or others.keys() & {*named}:
        found = {**others, **found}  # under their own names
    return dict(sorted(found.items(), key=lambda item: item[0] != "train"))


def _alike(folder: Path, files: list[Path]) -> list[Path]:
    """Take all files of one format as one table, as `load_dataset` does.

    Raises:
        DataError: If there are none, or some of several formats.
    """
    tables = _tables(files)
    if len({extensions(file) for file in tables}) != 1:
        raise DataError(
            folder,
            expected=f"files named after splits, such as train.csv ({', '.join(EXTENSIONS)})",
            found=", ".join(file.name for file in files[:8]) or "an empty folder",
            do="rename the files, or name one with --data",
        )
    log.info(
        "%s: no file is named after a split, so all are rows of one: %s",
        *(folder, ", ".join(file.name for file in tables[:8])),
    )
    return tables


def _tables(files: list[Path]) -> list[Path]:
    """Leave out what is not a table by its name: a text file may hold anything, such as notes."""
    return [file for file in files if is_table(file) and extensions(file)[0] != TEXTS]


def _bare(file: Path) -> str:
    return file.name.partition(".")[0].casefold()


def _split_of(file: Path, folder: str = "") -> str | None:
    """Tell which split a file belongs to by its name, else by its folder's; None for neither."""
    stem = PART.sub("", (stem_of(file) if is_table(file) else _bare(file)).casefold())
    if NAMED.fullmatch(stem):
        return "train" if stem in TRAINS else stem
    words = {*re.split(r"[^a-z]+", stem)} & {*SPLITS}
    if len(words) == 1:
        (word,) = words
        return "train" if word in TRAINS else word
    inside = folder.casefold()
    return ("train" if inside in TRAINS else inside) if inside in SPLITS else None


def _read(folder: Path, split: str, files: list[Path]) -> Table:
    """Read a split's file, or its parts one after the other."""
    first = files[0]
    parts = all(PART.search(stem_of(file)) or file.parent != folder for file in files)
    named = any(_split_of(file) == split for file in files)
    if len(files) > 1 and (len({extensions(file) for file in files}) > 1 or (named and not parts)):
        raise DataError(
            folder,
            expected=f"one file {split}.*",
            found=", ".join(file.name for file in files[:8]),
            do="keep one of them, name a file with --data, or number the parts of one format"
            f" ({split}-1.csv, {split}-2.csv)",
        )
    tables = [read_file(file) for file in files]
    for file, table in zip(files, tables, strict=True):
        if table.columns.keys() != tables[0].columns.keys():
            raise DataError(
                file,
                expected=f"the columns of {first.name} ({tables[0].listed})",
                found=table.listed,
                do="write all parts of a split with the same columns",
            )
    if len(tables) == 1:
        return tables[0]

    def column(name: str) -> Column:
        parts = [table.columns[name] for table in tables]
        return Column(sum(map(len, parts)), lambda: (c for part in parts for c in part.chunks()))

    columns = {name: column(name) for name in tables[0].columns}
    where = f"{folder}, {split} ({len(files)} files from {first.name} on)"
    return Table(where, columns, tables[0].class_names)
