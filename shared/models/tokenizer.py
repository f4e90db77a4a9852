"""The teacher's tokenizer: loaded from its folder, and as files for the cache."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from mixkd.shared.errors import ModelError
from mixkd.shared.models.checkpoint import Checkpoint
from mixkd.shared.models.files import first_line, quiet

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
# Other files, such as templates of chats, are no use to a classifier.
FILE_NAME = re.compile(r"[A-Za-z0-9._-]+\.(json|txt|model)")


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The checkpoint's tokenizer, as `transformers` loads it.

    Raises:
        ModelError: If it has none, or one that needs code of its own.
    """
    from transformers import AutoTokenizer

    # Without these files transformers makes up a tokenizer that knows no words.
    if not any(file for pattern in VOCABULARIES for file in checkpoint.folder.glob(pattern)):
        raise ModelError(
            checkpoint.name,
            expected=f"a tokenizer's vocabulary beside the model ({', '.join(VOCABULARIES)})",
            found="none",
            do="save the tokenizer into the model's folder with save_pretrained",
        )
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(checkpoint.folder, trust_remote_code=False)
    except Exception as error:  # of tokenizers' Rust code too, which raises Exception itself
        raise ModelError(
            checkpoint.name,
            expected="a tokenizer that transformers can load",
            found=first_line(error),
            do="save the tokenizer into the model's folder with save_pretrained",
        ) from error


def tokenizer_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files of a freshly loaded tokenizer, by name.

    A fast tokenizer saves the padding and truncation that it was last used with: both are cleared,
    so that the bytes do not depend on what was done before.
    """
    tokenizer = load_tokenizer(checkpoint)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()
    with tempfile.TemporaryDirectory(prefix="mixkd-") as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(Path(folder).iterdir())
        return {file.name: file.read_bytes() for file in files if FILE_NAME.fullmatch(file.name)}
