"""A model folder before `transformers` sees it: no foreign code, and no width or depth made up.

A cache and a model come from others. Every tensor that a configuration asks for must be in the
weights with the same shape, so that a folder of a few kilobytes cannot ask for terabytes.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from shared.errors import MalformedError, MissingFileError, ModelError, UnsafeFileError

Shapes = dict[str, tuple[int, ...]]
JSON_LIMIT_BYTES = 64 * 2**20
# Code, other formats of weights and other places to load from, none of which a student needs.
FOREIGN_KEYS = re.compile(
    r"auto_map|custom_pipelines|trust_remote_code|quantization_config|compression_config"
    r"|_?attn_implementation\w*|_?experts_implementation\w*"
)
FOREIGN_FILES = ("adapter_config.json",)
# Names of numbers that say how often something is built.
DEPTH = re.compile(r"layer(?!_norm)|group|block|repeat|depth|expert|n_head|num_")
# Numbers that nothing is built from.
HARMLESS = re.compile(r"num_labels|max_length|theta")
SMALL_DEPTH = 64
SMALL_NUMBER = 2**17
SMALL_HEAD = 2**24


def check_folder(folder: Path) -> None:
    """Refuse JSON files that point to code or to other weights.

    Raises:
        UnsafeFileError, MalformedError: Naming the file and the key.
    """
    for name in FOREIGN_FILES:
        if (folder / name).exists():
            raise _unsafe(folder / name, "a whole model", "an adapter to another one")
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            for key, value in found.items():
                if FOREIGN_KEYS.fullmatch(key) and value is not None:
                    raise _unsafe(folder / name, f"no key {key}", repr(value)[:80])
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weights = read_json(index).get("weight_map")
        names = set(weights.values()) if isinstance(weights, dict) else {None}
        if not names <= {file.name for file in folder.glob("*.safetensors")}:
            raise _unsafe(index, "the names of weight files beside it", "other names")


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file of bounded size."""
    try:
        if file.stat().st_size > JSON_LIMIT_BYTES:
            raise ValueError(f"more than {JSON_LIMIT_BYTES} bytes")
        value = json.loads(file.read_bytes())
        if not isinstance(value, dict):
            raise TypeError(type(value).__name__)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedError(
            file,
            expected="a JSON object",
            found=str(error)[:80] or type(error).__name__,
            do="get the folder again from where it was made",
        ) from None
    return value


def tensor_shapes(folder: Path) -> Shapes:
    """Names and shapes from the headers of a folder's safetensors files; no tensor is read."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise MissingFileError(
            folder,
            expected="weights in model.safetensors",
            found="none",
            do="save the model again with safetensors; other formats can run code and are not read",
        )
    shapes: Shapes = {}
    for file in files:
        try:
            with safe_open(file, framework="numpy") as weights:
                for name in weights.keys():  # noqa: SIM118 - not a dict
                    shapes[name] = tuple(weights.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise MalformedError(
                file,
                expected="a safetensors file",
                found=str(error)[:120],
                do="get the file again from where it was made",
            ) from None
    return shapes


def check_numbers(config: dict[str, Any], shapes: Shapes, file: Path) -> None:
    """Refuse numbers that no model with these tensors has, before anything is built."""
    widest = max((max(shape, default=0) for shape in shapes.values()), default=0)
    for key, value in _numbers(config):
        deep = DEPTH.search(key) is not None
        limit = max(len(shapes), SMALL_DEPTH) if deep else max(widest, SMALL_NUMBER)
        if value > limit and not HARMLESS.search(key):
            raise _unsafe(file, f"{key} of at most {limit} for its weights", value)


def check_shapes(wanted: Shapes, prefix: str, shapes: Shapes, file: Path) -> None:
    """Compare the tensors that a configuration asks for with those that are there.

    Args:
        wanted: Parameters of the model as built without memory.
        prefix: What the encoder's names begin with in `wanted`, such as "bert.".
        shapes: The tensors that are there.

    Raises:
        ModelError: If a part of the encoder is not there: it would be made up.
        UnsafeFileError: If a tensor has another shape, or what would be made up is absurdly large.
    """
    made_up = 0
    absent = []
    for name, shape in wanted.items():
        found = _found(name, prefix, shapes)
        if found is None:
            made_up += math.prod(shape)
            if name.startswith(prefix) and "pooler" not in name:
                absent.append(name)
        elif found != shape and name.startswith(prefix):
            raise _unsafe(file, f"{name} of shape {shape} as its config says", found)
    if made_up > max(SMALL_HEAD, sum(map(math.prod, shapes.values()))):
        raise _unsafe(file, "a head no larger than the encoder", f"{made_up} numbers")
    if absent:
        raise ModelError(
            file,
            expected="all weights of the encoder",
            found=f"none for {absent[0]} and {len(absent) - 1} more",
            do="use a complete encoder",
        )


def _found(name: str, prefix: str, shapes: Shapes) -> tuple[int, ...] | None:
    """A tensor's shape under the names that checkpoints give it: bare, and as TensorFlow had it."""
    bare = name.removeprefix(prefix)
    for candidate in (name, bare):
        old = candidate.replace("LayerNorm.weight", "LayerNorm.gamma")
        old = old.replace("LayerNorm.bias", "LayerNorm.beta")
        for spelling in (candidate, old):
            if spelling in shapes:
                return shapes[spelling]
    return None


def _numbers(value: Any, key: str = "") -> list[tuple[str, int]]:
    """All integers below a JSON value, each with the key that it stands under."""
    if isinstance(value, dict):
        return [number for name, item in value.items() for number in _numbers(item, name)]
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item, key)]
    if isinstance(value, int) and not isinstance(value, bool):
        return [(key, value)]
    return []


def _unsafe(where: object, expected: str, found: object) -> UnsafeFileError:
    return UnsafeFileError(where, expected=expected, found=found, do="use another model or cache")
