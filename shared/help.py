"""The commands' common face: help in groups, `-h`, and flags that every command has."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from mixkd.shared import FORMAT_VERSION
from mixkd.shared.configuration import config_option
from mixkd.shared.trackers import PROJECT

HELP_NAMES = ["-h", "--help"]
SETTINGS = {"help_option_names": HELP_NAMES, "max_content_width": 100}
GENERAL_FLAGS = {*HELP_NAMES, "--config", "--json", "--quiet", "--verbose", "--debug", "--version"}
GENERAL, REST = "General options", "Options"
SENTENCE_LIMIT = 200  # characters


class Command(click.Command):
    """A command whose help lists options in groups, with the flags of all commands.

    Args:
        groups: Heading -> names of parameters; options that no group names stand
            together.
        configurable: Whether `--config` gives it options from a file.
    """

    def __init__(
        self,
        *arguments: Any,
        groups: Mapping[str, Sequence[str]] | None = None,
        configurable: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self.groups = groups or {}
        self.context_settings = {**SETTINGS, **self.context_settings}
        present = {flag for parameter in self.params for flag in parameter.opts}
        common = [*([config_option()] if configurable else []), *flags()]
        self.params += [option for option in common if not present & {*option.opts}]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group of options under its heading."""
        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        by_group: dict[str, list[tuple[str, str]]] = {
            heading: [] for heading in (*self.groups, REST, GENERAL)
        }
        headings = {name: heading for heading, names in self.groups.items() for name in names}
        for option in options:
            own = GENERAL if {*option.opts} & GENERAL_FLAGS else REST
            record = option.get_help_record(ctx)
            if record is not None:
                by_group[headings.get(str(option.name), own)].append(record)
        for heading, records in by_group.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first sentence of the help, whole: a narrow list of commands breaks it."""
        return super().get_short_help_str(SENTENCE_LIMIT)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example on a line of its own, however long: it is there to be copied."""
        format_example(self.epilog, formatter)


def format_example(epilog: str | None, formatter: click.HelpFormatter) -> None:
    """Write what stands at the end of a help page, "Example: …", without breaking its line."""
    heading, _, line = (epilog or "").partition(": ")
    if line:
        formatter.write(f"\n{heading}:\n  {line}\n")


class Words(click.ParamType[Any]):
    """Names separated by commas; empty ones are skipped."""

    name = "A,B,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        if isinstance(value, tuple):  # as a file gives them
            return value
        return tuple(name.strip() for name in value.split(",") if name)


def flags() -> Iterable[click.Option]:
    """Make the flags of every command."""
    yield click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_quiet,
        help="Only results and warnings.",
    )
    yield click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=_verbose,
        help="The libraries' log as well, with times.",
    )
    yield click.Option(
        ["--debug"], is_flag=True, expose_value=False, help="Show the traceback of a failure."
    )


def tracking_options() -> Iterable[click.Option]:
    """Make the options of trackers, the same for `train-student` and `finetune`."""
    trackers = "Tracker: tensorboard, wandb, trackio, mlflow, … Repeatable."
    yield click.Option(["--track"], multiple=True, help=trackers)
    yield click.Option(
        ["--project"], default=PROJECT, show_default=True, help="Project or experiment."
    )
    yield click.Option(["--run-name"], help="Name of the run. [default: the folder's]")
    yield click.Option(["--group"], help="What it belongs to.")
    yield click.Option(["--tags"], type=Words(), default="", help="Of the run.")


def version_option(name: str) -> click.Option:
    """Make `--version` of a tool."""

    def show(ctx: click.Context, option: click.Parameter, given: bool) -> None:
        if given and not ctx.resilient_parsing:
            from importlib.metadata import version

            click.echo(f"{name} {version('mixkd')}, cache format {FORMAT_VERSION}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=show,
        help="Show the version.",
    )


def _quiet(ctx: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        _set_level(ctx, "mixkd", logging.WARNING)


def _verbose(ctx: click.Context, option: click.Parameter, given: bool) -> None:
    if not given:
        return
    _set_level(ctx, "mixkd", logging.DEBUG)
    _set_level(ctx, "", logging.INFO)
    form = logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(form)


def _set_level(ctx: click.Context, name: str, level: int) -> None:
    """Set a logger's level for as long as the command runs."""
    logger = logging.getLogger(name)
    ctx.call_on_close(lambda before=logger.level: logger.setLevel(before))
    logger.setLevel(level)
