"""Locate a model: a local folder, or a snapshot that the Hub's client fetches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixkd.shared import files
from mixkd.shared.errors import ModelError
from mixkd.shared.models.quietly import first_line

# The files of a model on the Hub that are fetched. Its subfolders hold exports to other runtimes.
FETCHED = ["*.json", "*.txt", "*.model", "*.safetensors"]
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


def locate(name: str) -> Checkpoint:
    """Find the folder of a model by path or Hub id; an existing path wins.

    Raises:
        ModelError: If it is a file, or neither a folder nor a model that can be fetched.
    """
    path = Path(name).expanduser()
    if files.is_folder(path):
        return Checkpoint(name, path, {"teacher": path.resolve().name})
    if files.exists(path):
        raise ModelError(
            name,
            expected="a model's folder",
            found="a file",
            do="give the folder that holds its config.json",
        )
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(
            name,
            expected="a model's folder or a Hub id such as textattack/bert-base-uncased-RTE",
            found="no such folder",
            do="check the path",
        )
    folder = _fetch(name)
    # The client names a snapshot's folder after the commit that the revision resolves to.
    return Checkpoint(name, folder, {"teacher": name, "teacher_revision": folder.name})


def _fetch(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=FETCHED, ignore_patterns=NOT_FETCHED))
    except Exception as error:  # the client's transport changes with its version, errors included
        raise ModelError(
            hub_id,
            expected="a folder, or a model that the Hub gives out",
            found=first_line(error),
            do="check the name and the connection, or give a folder",
        ) from error
