"""Check a stranger's model before and while `transformers` builds it: code, numbers, shapes, sizes.

Every tensor that a configuration asks for must be in the weights with the same shape, so that a
folder of a few kilobytes cannot ask for terabytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from mixkd.shared.errors import MalformedError, ModelError, UnsafeFileError
from mixkd.shared.models.checkpoint import ADAPTER, CONFIG, check_whole
from mixkd.shared.models.config import check_type, checked, entries, without_labels
from mixkd.shared.models.quietly import named_errors
from mixkd.shared.models.received import ModelFiles

Shapes = dict[str, tuple[int, ...]]
HEADER_LIMIT_BYTES = 4 * 2**20  # of safetensors: names and shapes of some 30,000 tensors
# Numbers that nothing is built from.
HARMLESS = re.compile(r"max_length|theta")
SMALL_NUMBER = 2**17
SMALL_HEAD = 2**24
SMALL_DEPTH = 64
BUFFERS_LIMIT_BYTES = 2**26
# Parameters are registered once or, where they are tied or replaced, twice; a head has a few more.
MORE_PARAMETERS, MOST_PARAMETERS = 128, 2**12


def check_config(files: ModelFiles, allowed: Collection[str]) -> dict[str, Any]:
    """Return what a stranger's config says, if it is of an allowed type and asks for nothing else.

    Raises:
        UnsafeFileError, MalformedError: Naming the file and the key.
    """
    check_whole(ADAPTER in files.contents, files.path(ADAPTER), UnsafeFileError)
    config = checked(files.json(CONFIG), files.path(CONFIG), UnsafeFileError)
    check_type(config, files.path(CONFIG), allowed)
    return config


def read_tensors(files: ModelFiles) -> dict[str, Any]:
    """Read the tensors of all weight files, by name; their bytes are copied.

    Raises:
        UnsafeFileError, MalformedError: Naming the file.
    """
    from safetensors.torch import load

    tensors: dict[str, Any] = {}
    for name in files.weights():
        if name.endswith(".json"):
            continue
        data = files.contents[name]
        _check_header_size(data, files.path(name))
        with named_errors(
            MalformedError,
            files.path(name),
            expected="a safetensors file",
            do="get the file again from where it was made",
        ):
            tensors |= load(data)
    return tensors


def _check_header_size(data: bytes, where: object) -> None:
    """Bound a header, which is parsed whole, into many times its size. One that is cut passes:
    the parser reports it."""
    size = int.from_bytes(data[:8], "little")
    if HEADER_LIMIT_BYTES < size <= len(data):
        raise unsafe(where, f"a header of at most {HEADER_LIMIT_BYTES} bytes", f"{size} bytes")


def check_numbers(config: dict[str, Any], shapes: Shapes, where: object) -> None:
    """Refuse numbers that no model with these tensors has, before anything is made from them."""
    full = [shape for shape in shapes.values() if math.prod(shape)]
    limit = max(SMALL_NUMBER, *(max(shape, default=0) for shape in full), 0)
    for key, value in entries(without_labels(config)):
        if type(value) is int and not HARMLESS.search(key) and value > limit:
            raise unsafe(where, f"{key} of at most {limit} for its weights", value)


@contextmanager
def as_many_parameters_as(shapes: Shapes, where: object) -> Iterator[None]:
    """End the building of a model that has more parameters than its weights explain.

    Whatever it is that a config repeats, layers, groups or blocks, each repetition has some.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    limit = min(2 * len(shapes) + MORE_PARAMETERS, MOST_PARAMETERS)
    count = 0

    def hook(module: object, name: str, parameter: object) -> None:
        nonlocal count
        count += 1
        if count > limit:
            raise unsafe(where, f"at most {limit} parameters for {len(shapes)} tensors", "more")

    handle = register_module_parameter_registration_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def check_outline(outline: Any, shapes: Shapes, where: object) -> None:
    """Compare a model that was built without memory with the actual weights.

    Raises:
        ModelError: If a part of the encoder is missing: it would be randomly initialised.
        UnsafeFileError: If it asks for what the weights do not explain.
    """
    wanted = {name: tuple(weight.shape) for name, weight in outline.named_parameters()}
    check_shapes(wanted, f"{outline.base_model_prefix}.", shapes, where)
    size = sum(buffer.numel() * buffer.element_size() for buffer in outline.buffers())
    if size > BUFFERS_LIMIT_BYTES:
        raise unsafe(where, f"buffers of at most {BUFFERS_LIMIT_BYTES} bytes", f"{size} bytes")
    # Layers that share their weights cost time, but no tensors.
    depth, deepest = getattr(outline.config, "num_hidden_layers", 0), max(SMALL_DEPTH, len(wanted))
    if isinstance(depth, int) and depth > deepest:
        raise unsafe(where, f"at most {deepest} layers for its weights", depth)


def check_shapes(wanted: Shapes, prefix: str, shapes: Shapes, where: object) -> None:
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
            raise unsafe(where, f"{name} of shape {shape} as its config says", actual)
    if initialised > max(SMALL_HEAD, sum(map(math.prod, shapes.values()))):
        raise unsafe(where, "a head no larger than the encoder", f"{initialised} numbers")
    if absent:
        raise incomplete(where, absent)


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


def incomplete(where: object, absent: list[str]) -> ModelError:
    return ModelError(
        where,
        expected="all weights of the encoder",
        found=f"none for {absent[0]} and {len(absent) - 1} more",
        do="use a complete encoder",
    )


def unsafe(where: object, expected: str, found: object) -> UnsafeFileError:
    return UnsafeFileError(where, expected=expected, found=found, do="use another model or cache")
