"""Check a stranger's tokenizer before `transformers` sees it: its places, and how much it holds.

A tokenizer is parsed whole into many times its size, and tokens are added in a time that grows with
their square. What it may hold therefore follows from the model's vocabulary.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mixkd.shared.models.checkpoint import read_json
from mixkd.shared.models.locate import Trust
from mixkd.shared.models.untrusted import check_folder, entries, unsafe
from mixkd.shared.publish import is_temporary

PATTERNS = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template*",
    "tekken.json",
    "*.model",
)
# XLM-R's tokenizer.json has 68 bytes per token, Gemma's 130.
BYTES_PER_TOKEN = 512
BASE_BYTES = 2 * 2**20
LISTED_TOKENS = 4096
# Of what `transformers` hands to a tokenizer's class, which may open it.
PATH_KEYS = re.compile(r"(\w+_)?(file|filename|path|dic|dir|option)s?")
# Where it was once loaded from: kept, but never opened.
REMEMBERED = ("name_or_path", "special_tokens_map_file")


def check_tokenizer(folder: Path, tokens: int) -> None:
    """Refuse a folder that points elsewhere, or holds more than so many tokens explain.

    Args:
        tokens: That the model has embeddings for.

    Raises:
        UnsafeFileError, MalformedError: Naming the file.
    """
    check_folder(folder)
    limit = BASE_BYTES + BYTES_PER_TOKEN * tokens
    for file in sorted({file for pattern in PATTERNS for file in folder.glob(pattern)}):
        size = file.stat().st_size
        if size > limit:
            raise unsafe(file, f"at most {limit} bytes for {tokens} tokens", f"{size} bytes")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            _check_values(folder / name)


def _check_values(file: Path) -> None:
    settings = read_json(file, Trust.STRANGER)
    if settings.get("init_inputs"):
        raise unsafe(file, "no init_inputs", repr(settings["init_inputs"])[:80])
    for key, value in entries(settings):
        if isinstance(value, list) and len(value) > LISTED_TOKENS:
            raise unsafe(file, f"at most {LISTED_TOKENS} entries in {key}", len(value))
        if key in REMEMBERED or not PATH_KEYS.fullmatch(key):
            continue
        if _leads_elsewhere(file.parent, value):
            raise unsafe(file, f"files of the tokenizer's folder in {key}", repr(value)[:80])


def _leads_elsewhere(folder: Path, value: Any) -> bool:
    """Tell whether a value, or a word of it, is the path of something that exists, or names a
    temporary file, which no seal covers.

    Some tokenizers name files of the machine that saved them: that leads nowhere.
    """
    words = [value, *value.split()] if isinstance(value, str) else []
    if any(is_temporary(word) for word in words):
        return True
    return any(os.sep in word and _exists(folder / word, Path(word)) for word in words)


def _exists(*paths: Path) -> bool:
    try:
        return any(path.exists() for path in paths)
    except OSError:  # a name too long
        return False
