"""What a config.json says: checked as a value, and built from that very value.

`transformers` is never told where the file lies: it would follow `configuration_files` to a second
one that nobody has checked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from mixkd.shared.errors import MixkdError, UnsafeFileError

# Code, different formats of weights, different places to load from, and what replaces parts of a
# model while it is built.
FOREIGN_KEYS = re.compile(
    r"auto_map|custom_pipelines|trust_remote_code|configuration_files|transformers_weights"
    r"|quantization_config|compression_config|(fusion|kernel|distributed|per_layer)_config"
    r"|_?(attn|experts)_implementation\w*"
)
# How attention is computed is the library's choice, which it makes by the type of the model. Names
# of its own ways are dropped, as what older versions noted; others name a package to be fetched.
IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation\w*")
OWN_IMPLEMENTATIONS = ("eager", "sdpa")
# Their keys are a data set's words: "repeat" is one of CLINC150's.
LABEL_TABLES = ("id2label", "label2id")
# Encoders that the tests run, and that pass the probe.
MODEL_TYPES = (
    "albert",
    "bert",
    "deberta-v2",
    "distilbert",
    "electra",
    "modernbert",
    "mpnet",
    "roberta",
    "xlm-roberta",
)
ALLOW = "--allow-model-type"


def checked(config: dict[str, Any], where: object, kind: type[MixkdError]) -> dict[str, Any]:
    """Return what a config says, without how attention is computed and without empty keys.

    Raises:
        MixkdError: Of this kind, if it asks for code, or for anything from elsewhere.
    """
    for key, value in entries(without_labels(config)):
        if value is None or not FOREIGN_KEYS.fullmatch(key):
            continue
        if IMPLEMENTATION.fullmatch(key) and (
            isinstance(value, bool) or value in OWN_IMPLEMENTATIONS
        ):
            continue
        raise kind(
            where,
            expected=f"no key {key}",
            found=repr(value)[:80],
            do="use another model: code from a model is never run, and only its own config.json "
            "and safetensors are read",
        )
    return {key: value for key, value in config.items() if not FOREIGN_KEYS.fullmatch(key)}


def check_type(config: dict[str, Any], where: object, allowed: Collection[str]) -> None:
    """Refuse a type of model that is not among the tested ones, unless the user allows it.

    Raises:
        UnsafeFileError: Naming the type, the allowed ones and the option.
    """
    name = config.get("model_type")
    if not isinstance(name, str) or name not in {*MODEL_TYPES, *allowed}:
        raise UnsafeFileError(
            where,
            expected=f"model_type to be one of {', '.join(sorted({*MODEL_TYPES, *allowed}))}",
            found=repr(name)[:80],
            do=f"use a student of one of these, or {ALLOW} NAME if you trust who made it",
        )


def build_config(config: dict[str, Any]) -> Any:
    """Build the object that `transformers` builds a model from; whatever it raises passes.

    Raises:
        ValueError: If `transformers` does not know the type.
    """
    from transformers import AutoConfig

    kept = {key: value for key, value in config.items() if key != "model_type"}
    if "model_type" not in config:
        raise ValueError("config.json has no model_type")
    return AutoConfig.for_model(config["model_type"], **kept)


def without_labels(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out the tables of labels."""
    return {key: value for key, value in config.items() if key not in LABEL_TABLES}


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
