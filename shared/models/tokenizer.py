"""Tokenizers: loaded from a checkpoint, saved as files for a cache, compared, and checked."""

from __future__ import annotations

import copy
import fnmatch
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from mixkd.shared.errors import MalformedError, ModelError
from mixkd.shared.json_values import dumps
from mixkd.shared.models.checkpoint import CONFIG
from mixkd.shared.models.locate import Checkpoint
from mixkd.shared.models.quietly import named_errors
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.untrusted_definition import check_added_tokens, check_definition
from mixkd.shared.models.untrusted_tokenizer import checked_tokenizer
from mixkd.shared.output import scratch_folder

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
# Different files, such as templates of chats, are of no use to a classifier.
FILE_NAME = re.compile(r"[A-Za-z0-9._-]+\.(json|txt|model)")
SAVE_TOKENIZER = "save the tokenizer into the model's folder with save_pretrained"


def has_tokenizer(names: Iterable[str]) -> bool:
    """Tell whether the vocabulary of a tokenizer is among the names of files."""
    return any(fnmatch.fnmatchcase(name, each) for name in names for each in VOCABULARIES)


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """Load the tokenizer of a model that the user trusts, without code of its own.

    Raises:
        ModelError: If it has none that can be loaded.
    """
    present = [path.name for path in checkpoint.folder.iterdir()]
    return _load(checkpoint.folder, present, checkpoint.name, ModelError)


def load_strangers_tokenizer(
    files: ModelFiles, tokens: int, model_type: str | None = None, allowed: Collection[str] = ()
) -> Any:
    """Load a tokenizer from a stranger's files.

    `transformers` reads it by path, so its files are copied into a folder of our own first.

    Args:
        tokens: How many it may have: those that its model has embeddings for.
        model_type: Of the model beside it, which tells the class if the tokenizer does not.
        allowed: Types of models whose tokenizers may be used beside those of the tested ones.

    Raises:
        MalformedError: If it has none that can be loaded.
        UnsafeFileError: If it is of another class, too large, or could take too long.
    """
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    classes = [TOKENIZER_MAPPING_NAMES.get(name) for name in allowed]
    contents = checked_tokenizer(files, tokens, [name for name in classes if name])
    with scratch_folder() as folder:
        for file, data in contents.items():
            (folder / file).write_bytes(data)
        if model_type is not None:
            (folder / CONFIG).write_bytes(dumps({"model_type": model_type}))
        tokenizer = _load(folder, contents, files.name, MalformedError)
    tokenizer.name_or_path = files.name
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and "tokenizer.json" not in contents:
        check_definition(backend.to_str().encode(), files.name)
    if backend is not None:
        check_added_tokens(backend, files.name)
    return tokenizer


def _load(
    folder: Path, names: Iterable[str], where: str, kind: type[ModelError | MalformedError]
) -> Any:
    from transformers import AutoTokenizer

    # Without these files transformers builds a tokenizer that knows no words.
    if not has_tokenizer(names):
        raise kind(
            where,
            expected=f"a tokenizer's vocabulary beside the model ({', '.join(VOCABULARIES)})",
            found="none",
            do=SAVE_TOKENIZER,
        )
    expected = "a tokenizer that transformers can load"
    with named_errors(kind, where, expected=expected, do=SAVE_TOKENIZER):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def tokenizer_files(tokenizer: Any) -> dict[str, bytes]:
    """Save a tokenizer as files, by name; the tokenizer itself stays as it is.

    A fast tokenizer saves the padding and truncation that it was last used with: both are cleared,
    so that the bytes do not depend on what was done before.
    """
    cleared = copy.deepcopy(tokenizer)
    _clear(getattr(cleared, "backend_tokenizer", None))
    with scratch_folder() as folder:
        cleared.save_pretrained(folder)
        files = sorted(folder.iterdir())
        return {file.name: file.read_bytes() for file in files if FILE_NAME.fullmatch(file.name)}


def same_tokenizer(left: Any, right: Any) -> bool:
    """Tell whether two fast tokenizers are the same but for their padding and truncation."""
    definition = _definition(left)
    return definition is not None and definition == _definition(right)


def _definition(tokenizer: Any) -> str | None:
    """Return the whole of a fast tokenizer as JSON text; None if it has no fast version."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    cleared = Tokenizer.from_str(backend.to_str())
    _clear(cleared)
    return str(cleared.to_str())


def _clear(backend: Any) -> None:
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()


def check_vocabulary(where: object, tokenizer: Any, embeddings: int, do: str) -> None:
    """Refuse a tokenizer of more ids than its model has embeddings.

    Raises:
        ModelError: Naming both numbers, and what to `do`.
    """
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= embeddings:
        raise ModelError(
            where,
            expected=f"embeddings for the tokenizer's ids, up to {largest}",
            found=f"{embeddings} embeddings",
            do=do,
        )
