"""Locate a model: a local folder, or a snapshot that the Hub's client fetches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixkd.shared import files
from mixkd.shared.errors import ModelError
from mixkd.shared.models.quietly import first_line
from mixkd.shared.places import address, missing

# The files of a model on the Hub that are fetched. Its subfolders hold exports to other runtimes.
FETCHED = ["*.json", "*.txt", "*.model", "*.safetensors"]
WEIGHTS = ["*.safetensors*"]
NOT_FETCHED = ["*/*"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with a model, a tokenizer or both, which the user names and trusts to run.

    Not to bring code of its own, though. What comes from a stranger, as a student does, is read
    into `ModelFiles`.

    Attributes:
        name: What the user called it, for messages.
        folder: Where its files are.
        about: Its Hub id and revision, or the folder's own name; no local path.
    """

    name: str
    folder: Path
    about: dict[str, str]


def locate(name: str, commit: str | None = None, *, weights: bool = True) -> Checkpoint:
    """Find the folder of a model by path or Hub id; an existing path wins.

    Args:
        commit: Of the Hub, where the name cannot be a path's.
        weights: False fetches all but these, for who needs the tokenizer only.

    Raises:
        ModelError: If it is a file, or neither a folder nor a model that can be fetched.
    """
    path = Path(name).expanduser()
    if files.is_folder(path) and commit is None:
        return Checkpoint(name, path, {"teacher": path.resolve().name})
    if files.exists(path) and commit is None:
        raise ModelError(
            name,
            expected="a model's folder",
            found="a file",
            do="give the folder that holds its config.json",
        )
    if (url := address(name)) is not None:
        error = missing(url, "a model's folder or a Hub id", "", of_the_hub="model")
        raise ModelError(error.where, expected=error.expected, found=error.found, do=error.do)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(
            name,
            expected="a model's folder or a Hub id such as textattack/bert-base-uncased-RTE",
            found="no such folder",
            do="check the path",
        )
    folder = _fetch(name, commit, NOT_FETCHED if weights else NOT_FETCHED + WEIGHTS)
    # The client names a snapshot's folder after the commit that the revision resolves to.
    return Checkpoint(name, folder, {"teacher": name, "teacher_revision": folder.name})


def _fetch(hub_id: str, commit: str | None, left_out: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            hub_id, revision=commit, allow_patterns=FETCHED, ignore_patterns=left_out
        )
        return Path(folder)
    except Exception as error:  # the client's transport changes with its version, errors included
        raise ModelError(
            hub_id,
            expected="a folder, or a model that the Hub gives out",
            found=first_line(error),
            do="check the name and the connection, or give a folder",
        ) from error
