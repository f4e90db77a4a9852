"""Say of a place that is not here what it is: an address, a name on the Hub, or nothing.

Nothing heavy is imported: a command that misses its cache says so before it loads a library.
"""

from __future__ import annotations

import re
from pathlib import Path

from mixkd.shared import files
from mixkd.shared.errors import MissingFileError

# A Path has lost one of the two slashes.
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
OF_THE_HUB = re.compile(
    r"(?:hf://|https?://(?:www\.)?(?:huggingface\.co|hf\.co)/)(?:(datasets|models)/)?"
    r"([\w.-]+/[\w.-]+)"
)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
MAKE_CACHE = "make one with: cache-teacher --task TASK --pairs N"


def address(place: str | Path) -> str | None:
    """Return a place as an address such as s3://bucket/name, if it is one and no local path."""
    found = ADDRESS.fullmatch(str(place))
    return f"{found[1]}://{found[2]}" if found and not files.exists(Path(place)) else None


def check_cache(root: str | Path) -> None:
    """Refuse what is not a folder on this machine.

    Raises:
        MissingFileError: Saying how to get the cache that an address or a name on the Hub names.
    """
    if not files.is_folder(Path(root)):
        raise missing(root, "the folder of a cache", MAKE_CACHE)


def missing(
    place: str | Path, expected: str, do: str, *, of_the_hub: str = "dataset"
) -> MissingFileError:
    """Return the error about a folder that is not there.

    Args:
        do: What to do about a path that is just missing.
        of_the_hub: What it would be there, `dataset` or `model`.
    """
    where = address(place)
    if where is None:
        found, name = "a file" if files.exists(Path(place)) else "nothing", str(place)
        if found == "nothing" and HUB_ID.fullmatch(name) and not Path(place).parent.is_dir():
            do = f"{do}; or get it from the Hub: {_download(name, of_the_hub)}"
        return MissingFileError(place, expected=expected, found=found, do=do)
    hub = OF_THE_HUB.match(where)
    do = "copy it into a folder first" if hub is None else _download(hub[2], of_the_hub)
    here = f"{expected}, on this machine"
    found = "an address, which cannot be read yet"
    return MissingFileError(where, expected=here, found=found, do=do)


def _download(name: str, kind: str) -> str:
    of_kind = "" if kind == "model" else f" --repo-type {kind}"
    return f"hf download {name}{of_kind} --local-dir {name}"
