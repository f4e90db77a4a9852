"""Check a stranger's model folder before `transformers` sees it: code, places, widths and depths.

Every tensor that a configuration asks for must be in the weights with the same shape, so that a
folder of a few kilobytes cannot ask for terabytes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixkd.shared.errors import MalformedError, MissingFileError, ModelError, UnsafeFileError
from mixkd.shared.models.checkpoint import ADAPTER, CONFIG, INDEX, read_json
from mixkd.shared.models.locate import Trust

Shapes = dict[str, tuple[int, ...]]
HEADER_LIMIT_BYTES = 4 * 2**20  # of safetensors: names and shapes of some 30,000 tensors
# Code, other formats of weights and other places to load from, none of which a student needs.
FOREIGN_KEYS = re.compile(
    r"auto_map|custom_pipelines|trust_remote_code|quantization_config|compression_config"
    r"|transformers_weights"
    r"|_?attn_implementation\w*|_?experts_implementation\w*"
)
# Names of numbers that say how often something is built.
DEPTH = re.compile(r"layer(?!_norm)|group|block|repeat|depth|expert|n_head|num_")
# Numbers that nothing is built from, and one that only names are made from.
HARMLESS = re.compile(r"max_length|theta")
LABELS = "num_labels"
# Their keys are a data set's words: "repeat" is one of CLINC150's.
LABEL_TABLES = ("id2label", "label2id")
SMALL_DEPTH, LARGEST_DEPTH = 64, 1024
SMALL_NUMBER = 2**17
SMALL_HEAD = 2**24


def check_model(folder: Path) -> Shapes:
    """Check all that is known before a model is built; return the shapes of its weights.

    Raises:
        UnsafeFileError, MalformedError, MissingFileError: Naming the file and what is wrong.
    """
    check_folder(folder)
    shapes = tensor_shapes(folder)
    check_numbers(read_json(folder / CONFIG, Trust.STRANGER), shapes, folder / CONFIG)
    return shapes


def check_folder(folder: Path) -> None:
    """Refuse JSON files that point to code or to other weights.

    Raises:
        UnsafeFileError, MalformedError: Naming the file and the key.
    """
    if (folder / ADAPTER).exists():
        raise unsafe(folder / ADAPTER, "a whole model", "an adapter to another one")
    for name in (CONFIG, "tokenizer_config.json"):
        if (folder / name).is_file():
            for key, value in entries(read_json(folder / name, Trust.STRANGER)):
                if FOREIGN_KEYS.fullmatch(key) and value is not None:
                    raise unsafe(folder / name, f"no key {key}", repr(value)[:80])
    index = folder / INDEX
    if index.is_file():
        weights = read_json(index, Trust.STRANGER).get("weight_map")
        names = list(weights.values()) if isinstance(weights, dict) else [None]
        beside = [file.name for file in folder.glob("*.safetensors")]
        if any(name not in beside for name in names):
            raise unsafe(index, "the names of weight files beside it", "different names")


def tensor_shapes(folder: Path) -> Shapes:
    """Read names and shapes from the headers of a folder's safetensors files; no tensor is read."""
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
        _check_header_size(file)
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


def _check_header_size(file: Path) -> None:
    """Bound a header, which is parsed whole, into many times its size. One that is cut passes:
    the parser reports it."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
    if HEADER_LIMIT_BYTES < size <= file.stat().st_size:
        raise unsafe(file, f"a header of at most {HEADER_LIMIT_BYTES} bytes", f"{size} bytes")


def check_numbers(config: dict[str, Any], shapes: Shapes, file: Path) -> None:
    """Refuse numbers that no model with these tensors has, before anything is built.

    Numbers of layers and the like under one key are added up: a list may hold one per block.
    """
    full = [shape for shape in shapes.values() if math.prod(shape)]
    widest = max((max(shape, default=0) for shape in full), default=0)
    deepest = min(max(len(full), SMALL_DEPTH), LARGEST_DEPTH)
    depths: Counter[str] = Counter()
    for key, value in entries({k: v for k, v in config.items() if k not in LABEL_TABLES}):
        if type(value) is not int or HARMLESS.search(key):
            continue
        if DEPTH.search(key) and key != LABELS:
            depths[key] += max(value, 0)
            value, limit = depths[key], deepest
        else:
            limit = max(widest, SMALL_NUMBER)
        if value > limit:
            raise unsafe(file, f"{key} of at most {limit} for its weights", value)


def check_shapes(wanted: Shapes, prefix: str, shapes: Shapes, file: Path) -> None:
    """Compare the tensors that a configuration asks for with the actual ones.

    Args:
        wanted: Parameters of the model as built without memory.
        prefix: What the encoder's names begin with in `wanted`, such as "bert.".
        shapes: The tensors in the weights.

    Raises:
        ModelError: If a part of the encoder is missing: it would be randomly initialised.
        UnsafeFileError: If a tensor has a different shape, or what would be randomly initialised is
            absurdly large.
    """
    initialised = 0
    absent = []
    for name, shape in wanted.items():
        actual = _actual(name, prefix, shapes)
        if actual is None:
            initialised += math.prod(shape)
            if name.startswith(prefix) and "pooler" not in name:
                absent.append(name)
        elif actual != shape and name.startswith(prefix):
            raise unsafe(file, f"{name} of shape {shape} as its config says", actual)
    if initialised > max(SMALL_HEAD, sum(map(math.prod, shapes.values()))):
        raise unsafe(file, "a head no larger than the encoder", f"{initialised} numbers")
    if absent:
        raise incomplete(file, absent)


def _actual(name: str, prefix: str, shapes: Shapes) -> tuple[int, ...] | None:
    """Find a tensor's shape by the names in checkpoints: bare, and as TensorFlow had it."""
    bare = name.removeprefix(prefix)
    for candidate in (name, bare):
        old = candidate.replace("LayerNorm.weight", "LayerNorm.gamma")
        old = old.replace("LayerNorm.bias", "LayerNorm.beta")
        for spelling in (candidate, old):
            if spelling in shapes:
                return shapes[spelling]
    return None


def entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every value below a JSON value, each with the key that it belongs to, also in lists.

    Without recursion: the nesting is a stranger's.
    """
    waiting = [("", value)]
    while waiting:
        key, item = waiting.pop()
        yield key, item
        if isinstance(item, dict):
            waiting.extend(item.items())
        elif isinstance(item, list):
            waiting.extend((key, each) for each in item)


def incomplete(where: object, absent: list[str]) -> ModelError:
    return ModelError(
        where,
        expected="all weights of the encoder",
        found=f"none for {absent[0]} and {len(absent) - 1} more",
        do="use a complete encoder",
    )


def unsafe(where: object, expected: str, found: object) -> UnsafeFileError:
    return UnsafeFileError(where, expected=expected, found=found, do="use another model or cache")
