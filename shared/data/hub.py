"""Read data sets of the Hugging Face Hub, pinned to the commit that the Hub has now."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixkd.shared.data.named_splits import Splits
from mixkd.shared.data.objects import source_of
from mixkd.shared.data.sources import About, Source
from mixkd.shared.errors import DataError
from mixkd.shared.models.quietly import first_line

if TYPE_CHECKING:
    import datasets

log = logging.getLogger(__name__)
PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
NAME = re.compile(
    rf"(?P<name>{PART}(?:/{PART})?)(?::(?P<configuration>[^:@/]+))?(?:@(?P<revision>[^:@]+))?"
)


@dataclass(frozen=True, slots=True)
class HubName:
    """A data set of the Hub: `NAME`, `NAME:CONFIGURATION`, either with `@REVISION` behind it.

    Attributes:
        revision: A branch, tag or commit; None is the main branch.
    """

    name: str
    configuration: str | None = None
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> HubName:
        """Read it as `--data` has it.

        Raises:
            DataError: If it is not such a name.
        """
        match = NAME.fullmatch(text)
        if match is None:
            raise DataError(
                text,
                expected="a file, a folder, or a name on the Hub"
                " (OWNER/NAME, OWNER/NAME:CONFIGURATION, OWNER/NAME@REVISION)",
                found="an address" if "://" in text else "none of these",
                do="download it and name the file or folder"
                if "://" in text
                else "check --data for a typo",
            )
        return cls(**match.groupdict())

    def __str__(self) -> str:
        configured = f"{self.name} ({self.configuration})" if self.configuration else self.name
        return f"{configured} @ {self.revision}" if self.revision else configured


def read_hub(hub: HubName, wanted: Splits) -> Source:
    """Read the wanted splits of a data set.

    Raises:
        DataError: If there is no such data set, it cannot be reached, or a split is missing.
    """
    about: About = {"data": hub.name}
    if hub.configuration is not None:
        about["data_config"] = hub.configuration
    commit = _describe(hub, about)
    return source_of(_load(hub, commit), str(hub), about, wanted)


def _describe(hub: HubName, about: About) -> str | None:
    """Add what the Hub says of the data set; return its commit, None where the Hub is silent."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().dataset_info(hub.name, revision=hub.revision)
    except Exception as error:
        # The client's transport errors have no narrower base that is stable. Without a network,
        # `datasets` may still have the data in its cache.
        log.info("%s: its revision on the Hub is unknown (%s)", hub, first_line(error))
        return hub.revision
    licence = getattr(info.card_data, "license", None)
    if info.sha:
        about["data_revision"] = info.sha
    if licence:
        about["data_license"] = ", ".join(licence) if isinstance(licence, list) else str(licence)
    language = getattr(info.card_data, "language", None)
    if language:
        about["data_language"] = ",".join(language) if isinstance(language, list) else str(language)
    return info.sha


def _load(hub: HubName, commit: str | None) -> datasets.DatasetDict:
    try:
        import datasets
    except ImportError:
        raise DataError(
            hub,
            expected="the package datasets, which reads the Hub",
            found="none",
            do="install it, or give a local folder with --data",
        ) from None
    try:
        return datasets.load_dataset(hub.name, hub.configuration, revision=commit)
    except Exception as error:  # as above; a data set that needs code raises a RuntimeError
        raise DataError(
            hub,
            expected="a data set on the Hub, or a file or folder of that name",
            found=first_line(error),
            do="check the name, its configuration and revision (NAME:CONFIGURATION@REVISION) and"
            " the network, or give a local folder with --data",
        ) from None
