"""Parameters of `cache-teacher`: types of values, and options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mixkd.shared import command

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}
FOLDER = click.Path(path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
debug = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of a failure."
)


class Words(click.ParamType[Any]):
    """Names separated by commas; empty ones are skipped."""

    name = "A,B,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(name.strip() for name in value.split(",") if name)


class Starts(click.ParamType[Any]):
    """Starting points separated by commas, each a depth or a list of layers; or `none`."""

    name = "N,N-N-N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int | tuple[int, ...], ...]:
        if isinstance(value, tuple):
            return value
        starts = [] if value == "none" else value.split(",")
        return tuple(command.Layers().convert(start, param, ctx) for start in starts)


class Numbers(click.ParamType[Any]):
    """Whole numbers separated by commas; `none` gives none of them."""

    name = "N,N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return () if value == "none" else tuple(int(v) for v in value.split(","))
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


def data_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what the examples are, the same for `build` and `finetune`."""
    for option in (
        click.option("--label-names", type=Words(), default="", help="In order of class numbers."),
        click.option("--label-column", help="[default: label]"),
        click.option("--text-columns", type=Words(), default="", help="One or two text columns."),
        click.option("--data", help="Folder, file (tsv, csv, jsonl, parquet) or Hub data set."),
        click.option("--task", required=True, help="One of GLUE's nine, or any name with --data."),
    ):
        function = option(function)
    return function
