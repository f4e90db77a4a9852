"""A teacher's files: where they are, what must be in them, and the digest that is its identity.

Everything here is done before the model is loaded, and without torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG_LIMIT_BYTES = 1 << 24
CHUNK_BYTES = 1 << 20
SHARD_NAME = re.compile(r"[A-Za-z0-9._-]+\.safetensors")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# The files of a model on the Hub that are fetched; others in its root, and subfolders, are not.
FETCHED = ["*.json", "*.txt", "*.model", "*.safetensors"]
NOT_FETCHED = ["*/*"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A teacher's folder, checked by name only.

    Attributes:
        name: What the user called it, for messages.
        folder: Where its files are.
        about: Its Hub id and revision, or the folder's own name; no local path.
    """

    name: str
    folder: Path
    about: dict[str, str]


def locate(teacher: str) -> Checkpoint:
    """The files of a folder or of a model on the Hub; an existing path wins.

    Raises:
        ModelError: If it is a file, or neither a folder nor a model that can be fetched.
    """
    path = Path(teacher).expanduser()
    if path.is_dir():
        return Checkpoint(teacher, path, {"teacher": path.resolve().name})
    if path.exists():
        raise ModelError(
            teacher,
            expected="a model's folder",
            found="a file",
            do="give the folder that holds its config.json",
        )
    if path.is_absolute() or teacher.startswith((".", "~")) or teacher.count("/") > 1:
        raise ModelError(
            teacher,
            expected="a model's folder or a Hub id such as textattack/bert-base-uncased-RTE",
            found="no such folder",
            do="check the path",
        )
    return _fetch(teacher)


def _fetch(hub_id: str) -> Checkpoint:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(hub_id, allow_patterns=FETCHED, ignore_patterns=NOT_FETCHED)
        )
    except Exception as error:  # the client's transport changes with its version, errors included
        raise ModelError(
            hub_id,
            expected="a folder, or a model that the Hub gives out",
            found=first_line(error),
            do="check the name and the connection, or give a folder",
        ) from error
    # The client names a snapshot's folder after the commit that the revision stands for.
    return Checkpoint(hub_id, folder, {"teacher": hub_id, "teacher_revision": folder.name})


def read_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The model's config.json, refused if the model needs code or files from elsewhere.

    Raises:
        ModelError: If it is missing, no JSON object, or asks for code of its own.
    """
    config = _read_json(checkpoint, CONFIG)
    if "auto_map" in config:
        raise ModelError(
            checkpoint.name,
            expected="a model whose code is part of transformers",
            found="auto_map in config.json, which runs code that came with the model",
            do="use another teacher: code from a model is never run",
        )
    if (checkpoint.folder / "adapter_config.json").exists():
        raise ModelError(
            checkpoint.name,
            expected="a whole model",
            found="adapter_config.json, an adapter on top of another model",
            do="merge the adapter into its model and save that",
        )
    return config


def _read_json(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    file = checkpoint.folder / name
    if not file.is_file():
        found, value = "no such file", None
    elif file.stat().st_size > CONFIG_LIMIT_BYTES:
        found, value = f"{file.stat().st_size} bytes", None
    else:
        try:
            found, value = "other JSON", json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:
            found, value = first_line(error), None
    if not isinstance(value, dict):
        raise ModelError(
            checkpoint.name,
            expected=f"a JSON object in {name}",
            found=found,
            do="give a folder that save_pretrained of transformers wrote",
        )
    return value


def weight_files(checkpoint: Checkpoint) -> list[str]:
    """Names of the files that hold the weights: one, or an index and its parts.

    Raises:
        ModelError: If there are no safetensors weights, or some are missing.
    """
    folder = checkpoint.folder
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if (folder / INDEX).is_file():
        names = [INDEX, *_parts(checkpoint)]
        missing = [name for name in names if not (folder / name).is_file()]
        if not missing:
            return names
        found = f"no {missing[0]}"
    else:
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        found = f"only {pickles[0]}, a pickle that can run code" if pickles else "none"
    raise ModelError(
        checkpoint.name,
        expected="weights in safetensors",
        found=found,
        do="load the model where it is trusted and save it again with save_pretrained",
    )


def _parts(checkpoint: Checkpoint) -> list[str]:
    weight_map = _read_json(checkpoint, INDEX).get("weight_map")
    parts = sorted(set(map(str, weight_map.values()))) if isinstance(weight_map, dict) else []
    unsafe = [name for name in parts if not SHARD_NAME.fullmatch(name)]
    if unsafe or not parts:
        raise ModelError(
            checkpoint.name,
            expected=f"names of safetensors files beside it in {INDEX}",
            found=unsafe[0] if unsafe else "none",
            do="save the model again with save_pretrained",
        )
    return parts


def files_sha256(checkpoint: Checkpoint) -> str:
    """The teacher's identity: sha256 over config.json and the weight files, in order of names.

    Each file is framed: uint32 length of its name, the name, uint64 size in bytes (both little
    endian), the content.
    """
    digest = hashlib.sha256()
    for name in sorted([CONFIG, *weight_files(checkpoint)]):
        encoded = name.encode()
        with (checkpoint.folder / name).open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            digest.update(len(encoded).to_bytes(4, "little") + encoded)
            digest.update(size.to_bytes(8, "little"))
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def first_line(error: Exception) -> str:
    """The first line of an error from a library, short enough for a message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
