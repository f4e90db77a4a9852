"""What a cache hands on to students, tokenizer and starting points: tried, and compared.

Tensors and settings are compared, not bytes: files note the versions of the libraries that wrote
them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mixkd.shared.cache.claims import Finding
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.starts import start_name
from mixkd.shared.errors import MalformedError, MixkdError, ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.models.config import ALLOW, MODEL_TYPES
from mixkd.shared.models.digest import NOTED_SETTINGS, plain_settings
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.reencode import check_texts
from mixkd.shared.models.tokenizer import load_strangers_tokenizer, tokenizer_files
from mixkd.teacher_cache.starts import student_start

log = logging.getLogger(__name__)
# XLM-R has 250,000 tokens: what a stranger's tokenizer may have where no model limits it.
TOKENS = 2**18
# What a tokenizer's settings say of the place that it was loaded from.
NOTED_PLACES = ("name_or_path", "is_local", "local_files_only", "special_tokens_map_file")
NOTED = frozenset((*NOTED_SETTINGS, *NOTED_PLACES))


def try_tokenizer(
    name: str,
    files: Mapping[str, bytes],
    model_type: str | None,
    examples: Examples,
    max_length: int,
) -> None:
    """Read texts with a saved tokenizer as a student will, before a cache is created with it.

    What a student would refuse for who made it is logged: whoever trusts the cache may allow it.

    Args:
        name: The teacher, for messages.
        files: Of its tokenizer, by name.
        model_type: The teacher's, where its class is one of `transformers`.

    Raises:
        ModelError: If it reads texts differently once it is saved.
    """
    if model_type is not None and model_type not in MODEL_TYPES:
        note = "%s: its students need train-student %s %s: its type is not a tested one"
        log.warning(note, name, ALLOW, model_type)
    allowed = [model_type] if model_type else []
    try:
        received = ModelFiles(name, files)
        tokenizer = load_strangers_tokenizer(received, TOKENS, allowed=allowed)
    except MixkdError as error:
        log.warning("train-student will refuse this cache: %s", error)
        return
    try:
        check_texts(name, examples, tokenizer, max_length)
    except MalformedError as error:
        raise ModelError(
            name,
            expected="a tokenizer that reads texts the same way once it is saved",
            found="different ids or types",
            do="save it with save_pretrained, load it again, and give that one",
        ) from error


def cache_tokenizer(cache: Cache, allowed: Collection[str] = ()) -> Any:
    """Load the cache's tokenizer.

    Args:
        allowed: Types of models whose tokenizers may be used beside those of the tested ones.

    Raises:
        MixkdError: If it cannot be loaded, or points elsewhere.
    """
    files = ModelFiles(f"{cache.root}/tokenizer", cache.tokenizer_files())
    return load_strangers_tokenizer(files, TOKENS, allowed=allowed)


def compare_tokenizer(
    cache: Cache, teachers: Any, allowed: Collection[str] = ()
) -> Iterator[Finding]:
    """Compare the cache's tokenizer with the teacher's, both as students load and save them."""
    try:
        stored = tokenizer_files(cache_tokenizer(cache, allowed))
        # Both the same way: what a student leaves out of one is left out of the other.
        files = ModelFiles("the teacher's tokenizer", tokenizer_files(teachers))
        given = tokenizer_files(load_strangers_tokenizer(files, TOKENS, allowed=allowed))
    except MixkdError as error:
        yield Finding("tokenizer", str(error))
        return
    for name in sorted(stored.keys() | given.keys()):
        if _content(stored.get(name, b"")) != _content(given.get(name, b"")):
            yield Finding(
                "tokenizer",
                f"{cache.root}/tokenizer/{name}: expected the teacher's, found another; "
                "do not use this cache: its students would read texts differently",
            )


def compare_starts(cache: Cache, model: Any) -> Iterator[Finding]:
    """Compare each starting point with the teacher's layers that its name says."""
    for layers in cache.starts:
        where = f"{cache.root}/student_init/{start_name(layers)}"
        try:
            stored = cache.student_files(layers)
            given = student_start(model, layers)
        except MixkdError as error:
            yield Finding("starts", f"{where}: expected these layers of the teacher: {error}")
            continue
        different = _different_settings(stored, given) or _different_tensors(stored, given)
        if different:
            yield Finding(
                "starts",
                f"{where}: expected these layers of the teacher, found another {different}; "
                "do not start students from it",
            )


def _different_settings(stored: Mapping[str, bytes], given: Mapping[str, bytes]) -> str | None:
    """Name the first setting that differs between the config files."""
    name = "config.json"
    left, right = _content(stored.get(name, b"")), _content(given.get(name, b""))
    if not isinstance(left, dict) or not isinstance(right, dict):
        return name
    # A later library may write settings that an earlier one left at their defaults.
    usual = _defaults(right["model_type"])
    left, right = {**usual, **left}, {**usual, **right}
    names = sorted(left.keys() | right.keys())
    return next((name for name in names if left.get(name) != right.get(name)), None)


def _different_tensors(stored: Mapping[str, bytes], given: Mapping[str, bytes]) -> str | None:
    """Name the first tensor that differs, by name, shape, type or content."""
    left, right = _tensors(stored), _tensors(given)
    for name in sorted(left.keys() | right.keys()):
        mine, theirs = left.get(name), right.get(name)
        if mine is None or theirs is None or mine.dtype != theirs.dtype:
            return name
        if mine.shape != theirs.shape or not (mine == theirs).all():
            return name
    return None


def _tensors(files: Mapping[str, bytes]) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    tensors: dict[str, Any] = {}
    for name, data in files.items():
        if Path(name).suffix == ".safetensors":
            try:
                tensors |= load(data)
            except (SafetensorError, ValueError, KeyError):
                return {}
    return tensors


def _defaults(model_type: str) -> dict[str, Any]:
    from transformers import AutoConfig

    return _without_notes(plain_settings(AutoConfig.for_model(model_type).to_dict()))


def _content(data: bytes) -> Any:
    """Decode JSON without what it notes; other content is returned as it is."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    return _without_notes(value) if isinstance(value, dict) else value


def _without_notes(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in NOTED}
