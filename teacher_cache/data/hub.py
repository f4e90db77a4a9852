"""Data sets of the Hugging Face Hub as plain columns: the only place that imports `datasets`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mixkd.shared.errors import DataError
from mixkd.shared.models.library import first_line
from mixkd.teacher_cache.data.sources import VALIDATIONS, Source, Table

if TYPE_CHECKING:
    import datasets

log = logging.getLogger(__name__)


def read_hub(
    name: str, configuration: str | None, validations: tuple[str, ...], label_column: str
) -> Source:
    """Train and validation splits of a data set, pinned to the commit that the Hub has now.

    Splits without labels, such as GLUE's test, are left out. `label_names` come from the feature
    `label_column` where it is a `ClassLabel`.

    Raises:
        DataError: If there is no such data set, it cannot be reached, or it has no train split.
    """
    about = {"data": name, **_described(name)}
    if configuration is not None:
        about["data_config"] = configuration
    splits = _load(name, configuration, about.get("data_revision"))
    if "train" not in splits:
        raise DataError(
            name,
            expected="a split train",
            found=", ".join(splits),
            do="choose another data set, or save the rows you want in a file for --data",
        )
    found = [split for split in validations if split in splits]
    if not found:
        found = [split for split in VALIDATIONS if split in splits][:1]
    where = name if configuration is None else f"{name} ({configuration})"
    tables = {split: _table(splits[split], f"{where}, {split}") for split in ("train", *found)}
    feature = splits["train"].features.get(label_column)
    return Source(tables, tuple(getattr(feature, "names", ())), about, from_hub=True)


def _table(split: datasets.Dataset, where: str) -> Table:
    return Table(where, {name: split[name][:] for name in split.column_names})


def _described(name: str) -> dict[str, Any]:
    """The data set's commit and licence; nothing where the Hub does not answer."""
    from huggingface_hub import HfApi

    try:
        found = HfApi().dataset_info(name)
    except Exception as error:
        # The client's transport errors have no narrower base that is stable. Without a network,
        # `datasets` may still have the data in its cache.
        log.info("%s: its revision on the Hub is unknown (%s)", name, first_line(error))
        return {}
    licence = getattr(found.card_data, "license", None)
    described = {"data_revision": found.sha, "data_license": licence}
    return {key: value for key, value in described.items() if value}


def _load(name: str, configuration: str | None, revision: str | None) -> datasets.DatasetDict:
    try:
        import datasets
    except ImportError:
        raise DataError(
            name,
            expected="the package datasets, which reads the Hub",
            found="none",
            do="install it, or give a local folder with --data",
        ) from None
    try:
        return datasets.load_dataset(name, configuration, revision=revision)
    except Exception as error:  # as above; a data set that needs code raises a RuntimeError
        raise DataError(
            name,
            expected="a data set on the Hub, or a file or folder of that name",
            found=first_line(error),
            do="check the name, its configuration (NAME:CONFIGURATION) and the network,"
            " or give a local folder with --data",
        ) from None
