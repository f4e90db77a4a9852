"""The teacher's tokenizer: loaded from its folder, and as files for the cache."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from shared.errors import ModelError
from teacher_cache.checkpoint import Checkpoint, first_line


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The checkpoint's tokenizer, as `transformers` loads it.

    Raises:
        ModelError: If it has none, or one that needs code of its own.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(checkpoint.folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ModelError(
            checkpoint.name,
            expected="a tokenizer beside the model",
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
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
