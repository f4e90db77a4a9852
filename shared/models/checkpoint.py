"""A model's files: which it must have, what config.json says, and the digest over them.

Everything here is done before the model is loaded, and without torch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mixkd.shared.errors import ModelError
from mixkd.shared.models.digest import files_sha256
from mixkd.shared.models.locate import Checkpoint, Trust
from mixkd.shared.models.quietly import first_line

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
JSON_LIMIT_BYTES = 4 * 2**20
SHARD_NAME = re.compile(r"[A-Za-z0-9._-]+\.safetensors")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
SAVE_AGAIN = "save the model again with save_pretrained, where it is trusted"


def read_json(file: Path, trust: Trust) -> dict[str, Any]:
    """Read the object in a JSON file of bounded size.

    Raises:
        ModelError, MalformedError: By `trust`, if there is none.
    """
    try:
        if not file.is_file():
            found = "no such file"
        elif (size := file.stat().st_size) > JSON_LIMIT_BYTES:
            found = f"{size} bytes"
        elif isinstance(value := json.loads(file.read_bytes()), dict):
            return value
        else:
            found = f"a {type(value).__name__}"
    except (ValueError, RecursionError) as error:
        found = first_line(error)
    raise trust.error(
        file,
        expected="a JSON object",
        found=found,
        do="get the folder again from where it was made; save_pretrained of transformers writes it",
    )


def read_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read a teacher's config.json; refuse a model that needs code or files from elsewhere.

    Raises:
        ModelError: If it is missing, not a JSON object, or asks for code of its own.
    """
    config = read_json(checkpoint.folder / CONFIG, checkpoint.trust)
    if "auto_map" in config:
        raise ModelError(
            checkpoint.name,
            expected="a model whose code is part of transformers",
            found="auto_map in config.json, which runs code that came with the model",
            do="use another model: code from a model is never run",
        )
    if (checkpoint.folder / ADAPTER).exists():
        raise ModelError(
            checkpoint.name,
            expected="a whole model",
            found=f"{ADAPTER}, an adapter on top of another model",
            do="merge the adapter into its model and save that",
        )
    return config


def label_names(config: dict[str, Any]) -> list[str]:
    """List the names of a classifier's labels in order, by its config as a table.

    Files have strings for keys, configs in memory numbers; transformers omits its default, two.
    """
    table = config.get("id2label")
    if isinstance(table, dict):
        return [str(name) for _, name in sorted(table.items(), key=lambda item: _number(item[0]))]
    count = config.get("num_labels")
    return [f"LABEL_{label}" for label in range(count if isinstance(count, int) else 2)]


def _number(key: object) -> int:
    return int(str(key)) if str(key).isdecimal() else -1


def weight_files(checkpoint: Checkpoint) -> list[str]:
    """List the names of the files that hold the weights: one, or an index and its parts.

    Raises:
        ModelError, MalformedError: By its trust, if there are no safetensors, or some are missing.
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
    raise checkpoint.trust.error(
        checkpoint.name, expected="weights in safetensors", found=found, do=SAVE_AGAIN
    )


def _parts(checkpoint: Checkpoint) -> list[str]:
    table = read_json(checkpoint.folder / INDEX, checkpoint.trust).get("weight_map")
    parts = sorted(set(map(str, table.values()))) if isinstance(table, dict) else []
    unsafe = [name for name in parts if not SHARD_NAME.fullmatch(name)]
    if unsafe or not parts:
        raise checkpoint.trust.error(
            checkpoint.name,
            expected=f"names of safetensors files beside it in {INDEX}",
            found=unsafe[0] if unsafe else "none",
            do=SAVE_AGAIN,
        )
    return parts


def checkpoint_sha256(checkpoint: Checkpoint) -> str:
    """Digest a model on disk, its identity: sha256 over config.json and the weight files."""
    return files_sha256(checkpoint.folder, [CONFIG, *weight_files(checkpoint)])
