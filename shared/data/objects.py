"""Read objects of `datasets`, as a program holds them, saved them, or gets them from the Hub.

The library is imported only where there is such an object.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from mixkd.shared.data.named_splits import Splits
from mixkd.shared.data.sources import About, Column, Source, Table, readable
from mixkd.shared.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import datasets

    from mixkd.shared.data.sources import Chunk

    AnyData: TypeAlias = str | Path | datasets.Dataset | datasets.DatasetDict

UNVERSIONED = "0.0.0"  # what the library says where nobody gave a version


def is_object(data: object) -> bool:
    """Say whether it is a `Dataset` or `DatasetDict`: not before the library is loaded."""
    library = sys.modules.get("datasets")
    return library is not None and isinstance(data, library.Dataset | library.DatasetDict)


def check_object(data: object) -> None:
    """Refuse what is not an object of `datasets` whose rows can be counted and read again.

    Raises:
        UsageError: Naming the type.
    """
    if not is_object(data):
        raise UsageError(
            "--data",
            expected="a folder, a file, a name on the Hub, or a Dataset or DatasetDict",
            found=type(data).__name__,
            do="load it with datasets.load_dataset, without streaming",
        )


def read_object(data: datasets.Dataset | datasets.DatasetDict, name: str, wanted: Splits) -> Source:
    """Read a `Dataset`, or the splits of a `DatasetDict`.

    Args:
        name: What to call it where it has no name of its own.

    Raises:
        DataError: If a split that is wanted is missing.
    """
    splits = data if isinstance(data, dict) else {"train": data}
    info = next(iter(splits.values())).info if splits else None
    name = getattr(info, "dataset_name", None) or getattr(info, "builder_name", None) or name
    version = str(getattr(info, "version", None) or UNVERSIONED)
    described = {
        "data_config": getattr(info, "config_name", None),
        "data_version": None if version == UNVERSIONED else version,
        "data_license": getattr(info, "license", None),
    }
    about: About = {"data": name, **{key: str(value) for key, value in described.items() if value}}
    if splits is data:
        return source_of(data, name, about, wanted)
    wanted.choose(name, None)
    return Source({"train": _table(splits["train"], f"{name}, train")}, about=about, published=True)


def read_saved(folder: Path, about: About, wanted: Splits) -> Source:
    """Read what `save_to_disk` of `datasets` wrote, a `Dataset` or a `DatasetDict`.

    Raises:
        DataError: If it cannot be read, or a split that is wanted is missing.
    """
    import datasets

    do = "save it again with save_to_disk"
    with readable(folder, expected="a data set that datasets saved", do=do):
        data = datasets.load_from_disk(str(folder))
    source = read_object(data, str(about["data"]), wanted)
    return replace(source, about={**source.about, **about})


def source_of(
    splits: dict[Any, datasets.Dataset], where: str, about: About, wanted: Splits
) -> Source:
    """Take the splits that are wanted; others, such as GLUE's test, have no labels.

    Raises:
        DataError: If one is missing.
    """
    existing = {str(name): split for name, split in splits.items()}
    chosen = wanted.choose(where, existing)
    tables = {name: _table(existing[own], f"{where}, {own}") for name, own in chosen.items()}
    return Source(tables, about=about, published=True)


def _table(split: datasets.Dataset, where: str) -> Table:
    def column(name: str) -> Column:
        # As Arrow has it: columns that nobody chooses may hold images.
        def read() -> list[Chunk]:
            chunks: list[Chunk] = split.select_columns([name]).with_format("arrow")[:][name].chunks
            return chunks

        return Column(len(split), read)

    columns = {name: column(name) for name in split.column_names}
    named = {name: _class_names(feature) for name, feature in split.features.items()}
    return Table(where, columns, {name: names for name, names in named.items() if names})


def _class_names(feature: Any) -> tuple[str, ...]:
    """Return the names of a `ClassLabel` or of a list of them."""
    return tuple(getattr(getattr(feature, "feature", feature), "names", None) or ())
