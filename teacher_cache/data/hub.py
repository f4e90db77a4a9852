"""Read data sets of the Hugging Face Hub, pinned to the commit that the Hub has now."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mixkd.shared.errors import DataError
from mixkd.shared.models.quietly import first_line
from mixkd.teacher_cache.data.objects import source_of
from mixkd.teacher_cache.data.sources import About, Source

if TYPE_CHECKING:
    import datasets

log = logging.getLogger(__name__)


def read_hub(
    name: str, configuration: str | None, validations: tuple[str, ...], label_column: str
) -> Source:
    """Read the train and validation splits of a data set.

    Raises:
        DataError: If there is no such data set, it cannot be reached, or it has no train split.
    """
    about: About = {"data": name}
    if configuration is not None:
        about["data_config"] = configuration
    revision = _describe(name, about)
    where = name if configuration is None else f"{name} ({configuration})"
    splits = _load(name, configuration, revision)
    return source_of(splits, where, about, validations, label_column)


def _describe(name: str, about: About) -> str | None:
    """Add the data set's commit and licence; return the commit, None where the Hub is silent."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().dataset_info(name)
    except Exception as error:
        # The client's transport errors have no narrower base that is stable. Without a network,
        # `datasets` may still have the data in its cache.
        log.info("%s: its revision on the Hub is unknown (%s)", name, first_line(error))
        return None
    licence = getattr(info.card_data, "license", None)
    if info.sha:
        about["data_revision"] = info.sha
    if licence:
        about["data_license"] = ", ".join(licence) if isinstance(licence, list) else str(licence)
    return info.sha


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
