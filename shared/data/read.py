"""Read what `--data` names, in every command: a place on this machine, the Hub, or an object.

    read_source("my/folder", Wanted())                  # train.tsv, validation.tsv
    read_source("rows.csv", OneSplit())
    read_source("owner/name:configuration@revision", OneSplit("test"))  # of the Hub
    read_source(dataset_dict, Wanted())                 # an object of `datasets`

A local path that exists wins over a name on the Hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mixkd.shared import files
from mixkd.shared.data.files import is_table
from mixkd.shared.data.folders import read_path
from mixkd.shared.data.hub import HubName, read_hub
from mixkd.shared.data.objects import check_object, read_object
from mixkd.shared.data.sources import Source
from mixkd.shared.errors import DataError
from mixkd.shared.places import address, missing

if TYPE_CHECKING:
    from mixkd.shared.data.named_splits import Splits
    from mixkd.shared.data.objects import AnyData


def read_source(data: AnyData, wanted: Splits, name: str = "data") -> Source:
    """Read the wanted splits of a file, a folder, a Hub data set, or an object of `datasets`.

    Args:
        name: What to call an object that has no name of its own.

    Raises:
        DataError: If there is no such place, a split is missing, or it cannot be read.
        UsageError: If it is something else.
    """
    if not isinstance(data, str | Path):
        check_object(data)
        return read_object(data, name, wanted)
    path = Path(data)
    if (url := address(data)) is not None:
        error = missing(url, "a file, a folder or a Hub data set such as owner/name", "")
        raise DataError(error.where, expected=error.expected, found=error.found, do=error.do)
    if files.exists(path):
        return read_path(path, wanted)
    # A name on the Hub is a string that does not look like a path.
    local = isinstance(data, Path) or data.startswith((".", "/", "~"))
    if local or is_table(path):
        raise DataError(
            data, expected="a file or folder", found="none", do="check the path for a typo"
        )
    return read_hub(HubName.of(str(data)), wanted)
