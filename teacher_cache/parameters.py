"""Parameters of `cache-teacher`: types of values, and options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mixkd.shared import command
from mixkd.shared.help import Words

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}
# The options of the data, as one group of a help page.
DATA = (
    *("task", "data", "train_split", "validation_split", "text_columns", "label_column"),
    *("label_names", "subset", "max_length", "keep_columns"),
)
CREDITS = ("license", "author", "language")
BUILD_GROUPS = {
    "Data": DATA,
    "Teacher": (
        *("teacher", "teacher_labels", "min_teacher_score", "dtype", "device", "devices"),
        "batch_tokens",
    ),
    "Cache": (
        *("pairs", "out", "beta", "mask", "seed", "logits_dtype", "format", "shard_rows"),
        *("student_layers", "starts", "text"),
    ),
    "More rows": ("unlabelled", "augmented", "id_column"),
    "Logits from elsewhere": ("logits_column", "logits_kind", "tokenizer"),
    "Card": CREDITS,
    "Run": ("time_limit_s", "dry_run"),
}
FOLDER = click.Path(path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Starts(click.ParamType[Any]):
    """Starting points separated by commas, each a depth or a list of layers; or `none`."""

    name = "N,N-N-N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int | tuple[int, ...], ...]:
        given = value if isinstance(value, tuple) else value.split(",")  # a file gives a tuple
        starts = [] if value == "none" else given
        return tuple(command.Layers().convert(start, param, ctx) for start in starts)


class Numbers(click.ParamType[Any]):
    """Whole numbers separated by commas; `none` gives none of them."""

    name = "N,N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        try:
            listed = value if isinstance(value, tuple) else value.split(",")
            return () if value == "none" else tuple(int(number) for number in listed)
        except ValueError:
            self.fail(f"expected whole numbers separated by commas, found {value!r}", param, ctx)


class Seconds(click.ParamType[Any]):
    """A duration such as 90s, 30m or 2h."""

    name = "DURATION"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        match = DURATION.fullmatch(value)
        if not match:
            self.fail(f"expected a duration such as 90s, 30m or 2h, found {value!r}", param, ctx)
        return float(match[1]) * SECONDS[match[2]]


def added_rows_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that append rows to train."""
    for option in (
        click.option("--id-column", help="Of train: what --augmented names its sources by."),
        click.option(
            "--augmented",
            multiple=True,
            help="File of texts that come from train rows, each with its `source`: the row's "
            "number from 0. Repeatable.",
        ),
        click.option(
            "--unlabelled",
            multiple=True,
            help="Like --data: more texts for train, without labels; `rest`: those that --subset "
            "leaves out. Repeatable.",
        ),
    ):
        function = option(function)
    return function


def credit_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add what a card says of who made something, and how it may be used."""
    for option in (
        click.option("--language", help="Codes for the card, such as en or de,fr."),
        click.option("--author", help="For the card."),
        click.option("--license", help="For the card: one of the Hub's, such as mit, or a text."),
    ):
        function = option(function)
    return function


def all_words(
    ctx: click.Context, param: click.Parameter, values: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    """Put the names of a repeated option together."""
    return tuple(name for words in values for name in words)


train_split = click.option("--train-split", help="Split to train on. [default: train]")
validation_split = click.option(
    "--validation-split",
    type=Words(),
    multiple=True,
    callback=all_words,
    help="Splits to validate on; repeatable. [default: validation, else a tenth of train]",
)


def data_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what the examples are, the same for `build` and `finetune`."""
    for option in (
        validation_split,
        train_split,
        click.option("--label-names", type=Words(), default="", help="In order of class numbers."),
        click.option("--label-column", help="[default: label, or the one that reads as labels]"),
        click.option(
            "--text-columns",
            type=Words(),
            default="",
            help="One or two. [default: text, …, or the one that reads as text]",
        ),
        click.option(
            "--data",
            help="File or folder (tsv, csv, json, jsonl, parquet, arrow; text also as gz, bz2, xz, "
            "zst), what save_to_disk wrote, or a Hub data set: NAME or NAME:CONFIGURATION, and "
            "@REVISION.",
        ),
        click.option("--task", required=True, help="One of GLUE's nine, or any name with --data."),
    ):
        function = option(function)
    return function


def logits_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where given logits are, the same for `build` and `verify`."""
    for option in (
        click.option(
            "--logits-kind",
            type=click.Choice(["auto", "logits", "probabilities"]),
            default="auto",
            show_default=True,
            help="Of --logits-column: auto says what it decided, and why.",
        ),
        click.option(
            "--logits-column",
            type=Words(),
            help="Of --data: logits or probabilities that a model elsewhere gave, C numbers per "
            "row or one column for each class.",
        ),
    ):
        function = option(function)
    return function
