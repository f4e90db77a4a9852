"""Tokenizers: loaded from a checkpoint, saved as files for a cache, compared, and checked."""

from __future__ import annotations

import copy
import re
import tempfile
from pathlib import Path
from typing import Any

from mixkd.shared.errors import ModelError
from mixkd.shared.models.locate import Checkpoint, Trust
from mixkd.shared.models.quietly import named_errors
from mixkd.shared.models.untrusted_tokenizer import check_tokenizer

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
# Different files, such as templates of chats, are of no use to a classifier.
FILE_NAME = re.compile(r"[A-Za-z0-9._-]+\.(json|txt|model)")
SAVE_TOKENIZER = "save the tokenizer into the model's folder with save_pretrained"


def has_tokenizer(folder: Path) -> bool:
    """Tell whether a folder holds the vocabulary of a tokenizer."""
    return any(file for pattern in VOCABULARIES for file in folder.glob(pattern))


def load_tokenizer(checkpoint: Checkpoint, tokens: int = 0) -> Any:
    """Load the checkpoint's tokenizer, without code of its own.

    Args:
        tokens: How many tokens a stranger's tokenizer may have: those that its model has embeddings
            for.

    Raises:
        ModelError, MalformedError: By the checkpoint's trust, if it has none that can be loaded.
        UnsafeFileError: If a stranger's points elsewhere, or is too large.
    """
    from transformers import AutoTokenizer

    folder, error = checkpoint.folder, checkpoint.trust.error
    if checkpoint.trust is Trust.STRANGER:
        check_tokenizer(folder, tokens)
    # Without these files transformers builds a tokenizer that knows no words.
    if not has_tokenizer(folder):
        raise error(
            checkpoint.name,
            expected=f"a tokenizer's vocabulary beside the model ({', '.join(VOCABULARIES)})",
            found="none",
            do=SAVE_TOKENIZER,
        )
    expected = "a tokenizer that transformers can load"
    with named_errors(error, checkpoint.name, expected=expected, do=SAVE_TOKENIZER):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def tokenizer_files(tokenizer: Any) -> dict[str, bytes]:
    """Save a tokenizer as files, by name; the tokenizer itself stays as it is.

    A fast tokenizer saves the padding and truncation that it was last used with: both are cleared,
    so that the bytes do not depend on what was done before.
    """
    cleared = copy.deepcopy(tokenizer)
    _clear(getattr(cleared, "backend_tokenizer", None))
    with tempfile.TemporaryDirectory(prefix="mixkd-") as folder:
        cleared.save_pretrained(folder)
        files = sorted(Path(folder).iterdir())
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
