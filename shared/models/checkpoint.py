"""A model's files: which it must have, what config.json says, and the digest over them.

Everything here is done before the model is loaded, and without torch.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from mixkd.shared.errors import MalformedError, ModelError
from mixkd.shared.models.config import checked
from mixkd.shared.models.digest import files_sha256
from mixkd.shared.models.locate import Checkpoint
from mixkd.shared.models.quietly import first_line

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
JSON_LIMIT_BYTES = 4 * 2**20
SHARD_NAME = re.compile(r"[A-Za-z0-9._-]+\.safetensors")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
SAVE_AGAIN = "save the model again with save_pretrained, where it is trusted"


def read_json(file: Path) -> dict[str, Any]:
    """Read the object in a JSON file of bounded size.

    Raises:
        ModelError: If there is none.
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
    raise ModelError(
        file,
        expected="a JSON object",
        found=found,
        do="get the folder again from where it was made; save_pretrained of transformers writes it",
    )


def read_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read a teacher's config.json; refuse a model that needs code or files from elsewhere.

    Raises:
        ModelError: If it is missing, not a JSON object, or asks for what did not come with it.
    """
    config = read_json(checkpoint.folder / CONFIG)
    check_whole((checkpoint.folder / ADAPTER).exists(), checkpoint.name, ModelError)
    return checked(config, checkpoint.folder / CONFIG, ModelError)


def check_whole(has_adapter: bool, where: object, kind: type[ModelError | MalformedError]) -> None:
    """Refuse an adapter, which names the model that it belongs to.

    Raises:
        ModelError, MalformedError: Of this kind.
    """
    if has_adapter:
        raise kind(
            where,
            expected="a whole model",
            found=f"{ADAPTER}, an adapter on top of another model",
            do="merge the adapter into its model and save that",
        )


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
        ModelError: If there are no safetensors, or some are missing.
    """
    present = [path.name for path in checkpoint.folder.iterdir() if path.is_file()]
    return weight_names(
        checkpoint.name, present, lambda name: read_json(checkpoint.folder / name), ModelError
    )


def weight_names(
    where: str,
    present: Collection[str],
    read: Callable[[str], dict[str, Any]],
    kind: type[ModelError | MalformedError],
) -> list[str]:
    """List which of the files that are present hold the weights.

    Args:
        where: The model, for messages.
        read: Reads the object in a JSON file, by its name.

    Raises:
        ModelError, MalformedError: Of this kind, if there are no safetensors, or some are missing.
    """
    if WEIGHTS in present:
        return [WEIGHTS]
    if INDEX in present:
        names = [INDEX, *_parts(where, read(INDEX), kind)]
        missing = [name for name in names if name not in present]
        if not missing:
            return names
        found = f"no {missing[0]}"
    else:
        pickles = sorted(file for each in PICKLES for file in fnmatch.filter(present, each))
        found = f"only {pickles[0]}, a pickle that can run code" if pickles else "none"
    raise kind(where, expected="weights in safetensors", found=found, do=SAVE_AGAIN)


def _parts(where: str, index: dict[str, Any], kind: type[ModelError | MalformedError]) -> list[str]:
    table = index.get("weight_map")
    parts = sorted(set(map(str, table.values()))) if isinstance(table, dict) else []
    unsafe = [name for name in parts if not SHARD_NAME.fullmatch(name)]
    if unsafe or not parts:
        raise kind(
            where,
            expected=f"names of safetensors files beside it in {INDEX}",
            found=unsafe[0] if unsafe else "none",
            do=SAVE_AGAIN,
        )
    return parts


def checkpoint_sha256(checkpoint: Checkpoint) -> str:
    """Digest a model on disk, its identity: sha256 over config.json and the weight files."""
    return files_sha256(checkpoint.folder, [CONFIG, *weight_files(checkpoint)])
