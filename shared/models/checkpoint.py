"""A teacher's files: where they are, what must be in them, and the digest that is its identity.

Everything here is done before the model is loaded, and without torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixkd.shared.errors import ModelError
from mixkd.shared.models.files import files_sha256, first_line, model_folder

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG_LIMIT_BYTES = 1 << 24
SHARD_NAME = re.compile(r"[A-Za-z0-9._-]+\.safetensors")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


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
    folder = model_folder(teacher)
    if Path(teacher).expanduser().is_dir():
        return Checkpoint(teacher, folder, {"teacher": folder.resolve().name})
    # The client names a snapshot's folder after the commit that the revision stands for.
    return Checkpoint(teacher, folder, {"teacher": teacher, "teacher_revision": folder.name})


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


def teacher_sha256(checkpoint: Checkpoint) -> str:
    """The teacher's identity: over config.json and the weight files."""
    return files_sha256(checkpoint.folder, [CONFIG, *weight_files(checkpoint)])
