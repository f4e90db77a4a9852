"""Read objects of `datasets`, as a program holds them or as the Hub gives them.

The library is imported only where somebody passes such an object or reads the Hub.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from mixkd.shared.errors import DataError, UsageError
from mixkd.teacher_cache.data.sources import About, Source, Table, validation_splits

if TYPE_CHECKING:
    from pathlib import Path

    import datasets

    AnyData: TypeAlias = str | Path | datasets.Dataset | datasets.DatasetDict

log = logging.getLogger(__name__)
UNVERSIONED = "0.0.0"  # what the library says where nobody gave a version


def check_object(data: object) -> None:
    """Refuse what is not an object of `datasets` whose rows can be counted and read again.

    Raises:
        UsageError: Naming the type.
    """
    import datasets

    if not isinstance(data, datasets.Dataset | datasets.DatasetDict):
        raise UsageError(
            "--data",
            expected="a folder, a file, a name on the Hub, or a Dataset or DatasetDict",
            found=type(data).__name__,
            do="load it with datasets.load_dataset, without streaming",
        )


def read_object(
    data: datasets.Dataset | datasets.DatasetDict,
    task: str,
    validations: tuple[str, ...],
    label_column: str,
) -> Source:
    """Read a `Dataset` of training rows, or the splits of a `DatasetDict`.

    Raises:
        DataError: If there is no train split.
    """
    splits = data if isinstance(data, dict) else {"train": data}
    info = next(iter(splits.values())).info if splits else None
    name = getattr(info, "dataset_name", None) or getattr(info, "builder_name", None) or task
    version = str(getattr(info, "version", None) or UNVERSIONED)
    described = {
        "data_config": getattr(info, "config_name", None),
        "data_version": None if version == UNVERSIONED else version,
        "data_license": getattr(info, "license", None),
    }
    about: About = {"data": name, **{key: str(value) for key, value in described.items() if value}}
    return source_of(splits, name, about, validations, label_column)


def source_of(
    splits: dict[Any, datasets.Dataset],
    where: str,
    about: About,
    validations: tuple[str, ...],
    label_column: str,
) -> Source:
    """Take the train and validation splits; others, such as GLUE's test, have no labels.

    `label_names` come from the feature `label_column` where it is a `ClassLabel`.

    Raises:
        DataError: If there is no train split.
    """
    existing = {str(name): split.with_format(None) for name, split in splits.items()}
    if "train" not in existing:
        raise DataError(
            where,
            expected="a split train",
            found=", ".join(existing) or "no split",
            do="choose another data set, or save the rows you want in a file for --data",
        )
    used = ["train", *validation_splits(existing, validations)]
    left_out = ", ".join(name for name in existing if name not in used)
    log.info("%s: splits used: %s; left out: %s", where, ", ".join(used), left_out or "none")
    tables = {name: _table(existing[name], f"{where}, {name}") for name in used}
    feature = existing["train"].features.get(label_column)
    return Source(tables, tuple(getattr(feature, "names", ())), about, published=True)


def _table(split: datasets.Dataset, where: str) -> Table:
    # Columns are decoded when they are asked for: those that nobody chooses may hold images.
    return Table(where, {name: split[name] for name in split.column_names})
