"""Checks of options: what both tools' option classes require of their values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from mixkd.shared.errors import UsageError

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")
# The names that `transformers.get_scheduler` has for them.
Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup"]
SCHEDULERS: tuple[Scheduler, ...] = ("linear", "cosine", "constant", "constant_with_warmup")
# What `--data` takes in every command, for their help.
DATA_HELP = (
    "file or folder (tsv, csv, json, jsonl, txt, parquet, arrow; text also as gz, bz2, xz, zst), "
    "what save_to_disk wrote, or a Hub data set: NAME[:CONFIGURATION][@REVISION]"
)
LARGEST = 2**53  # the largest whole number that every reader of JSON takes exactly


def option(name: str) -> str:
    """Turn `batch_size` into `--batch-size`."""
    return "--" + name.replace("_", "-")


def check(name: str, value: object, valid: bool, expected: str, do: str) -> None:
    """Refuse a value that is not valid.

    Args:
        name: Of the field or the option: `batch_size` or `--batch-size`.
        expected: What would be valid, for the message.
        do: The next step, as an instruction.

    Raises:
        UsageError: Naming the option.
    """
    if not valid:
        name = name if name.startswith("--") else option(name)
        raise UsageError(name, expected=expected, found=value, do=do)


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Refuse a value that is not one of `choices`."""
    check(name, value, value in choices, f"one of {', '.join(choices)}", "choose one of these")


def check_count(name: str, value: int, least: int, do: str = "give another number") -> None:
    """Refuse a count or a seed outside [least, 2^53]."""
    check(name, value, least <= value <= LARGEST, f"a number from {least} to 2^53", do)
