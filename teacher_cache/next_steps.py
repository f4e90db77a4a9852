"""The command lines that are printed as `next`: they run as they are printed, where they were.

A line is None where none would run: no command is better than one with a gap in it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mixkd.shared import files
from mixkd.shared.cache.starts import listed, start_name
from mixkd.shared.models.config import ALLOW, MODEL_TYPES

if TYPE_CHECKING:
    from mixkd.shared.cache.facts import CacheFacts

PAIRS_PER_EXAMPLE = 5  # a new one for each example in each of a student's usual epochs
MOST_PAIRS = 50_000
CONFIG = "config.json"
CONFIG_LIMIT_BYTES = 2**20


class _Typed(msgspec.Struct, frozen=True):
    """What is read of a model's config."""

    model_type: str = ""


def build_command(task: str, teacher: Path, train_rows: int) -> str:
    """Return the command line that builds a cache from a teacher that `finetune` made."""
    pairs = min(PAIRS_PER_EXAMPLE * train_rows, MOST_PAIRS)
    words = ["cache-teacher", "--task", task, "--teacher", str(teacher), "--pairs", str(pairs)]
    shards = Path("shards")
    if files.exists(shards / task):
        words += ["--out", str(_free(shards / f"{task}-{teacher.resolve().name}"))]
    return shlex.join(words)


def train_command(root: Path, cache: CacheFacts, tokenizer: str | None) -> str | None:
    """Return the command line that trains a student from a cache; None if it needs a model of its
    own and none is known.

    Args:
        tokenizer: Hub id or folder that the tokenizer of given logits came from.
    """
    words = ["train-student", "--cache", str(root)]
    if not cache.pairs:
        words += ["--method", "kd"]
    if cache.starts:
        start = cache.starts[-1]
        if sum(len(each) == len(start) for each in cache.starts) > 1:
            words += ["--layers", listed(start)]
        model_type = _model_type(root / "student_init" / start_name(start))
    elif tokenizer is not None and _may_be_a_model(tokenizer):
        words += ["--student", tokenizer]
        model_type = _model_type(Path(tokenizer))
    else:
        return None
    if model_type and model_type not in MODEL_TYPES:
        words += [ALLOW, model_type]
    student = Path("students") / root.resolve().name
    if files.exists(student):
        words += ["--out", str(_free(student))]
    return shlex.join(words)


def _may_be_a_model(place: str) -> bool:
    """Say whether a place is on the Hub or holds a model, not a tokenizer alone."""
    return not files.exists(Path(place)) or files.exists(Path(place) / CONFIG)


def _model_type(folder: Path) -> str:
    """Read the type of the model in a folder; nothing where its config does not say."""
    if not files.exists(folder / CONFIG):
        return ""
    data = files.read(folder, CONFIG, limit_bytes=CONFIG_LIMIT_BYTES)
    try:
        return msgspec.json.decode(data, type=_Typed).model_type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _free(path: Path) -> Path:
    """Return the path, or the first of path-2, path-3, … that does not exist."""
    number, free = 1, path
    while files.exists(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
