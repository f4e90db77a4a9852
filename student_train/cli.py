"""`train-student`: options in, one call, a table out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mixkd.shared import command
from mixkd.shared.configuration import RUN_FILE, write_config
from mixkd.shared.help import Command, tracking_options, version_option
from mixkd.shared.models.config import MODEL_TYPES
from mixkd.shared.options import SCHEDULERS
from mixkd.shared.places import check_cache
from mixkd.shared.progress import now, working
from mixkd.shared.trackers import TRACKING_OPTIONS
from mixkd.student_train.finished.cli import evaluate, predict
from mixkd.student_train.objective.distances import DISTANCES
from mixkd.student_train.objective.terms import PRESETS, TERMS
from mixkd.student_train.options import DEVICES, DTYPES, KEEPS, TrainOptions

DEFAULTS = {
    name: field.default for name, field in TrainOptions.__dataclass_fields__.items()
}  # one place for defaults

TYPES = f"{', '.join(MODEL_TYPES[:-1])} and {MODEL_TYPES[-1]}"
GROUP_HELP = """Train students from a cache of a teacher's logits, evaluate and use them.

Options and caches without a command are those of `train`: see train-student train --help.
"""
HELP = """Train a student from a cache of a teacher's logits.

Neither teacher nor data are needed.
"""
EPILOG = "Example: train-student --cache shards/rte --method mixkd --out students/rte"


GROUPS = {
    "Cache": ("cache",),
    "Student": ("student", "layers", "allow_model_type"),
    "Objective": (
        *("method", *(f"alpha_{name}" for name in TERMS), "distance", "temperature", "mix_ratio"),
    ),
    "Training": (
        *("epochs", "max_steps", "batch_size", "gradient_accumulation", "max_length"),
        *("learning_rate", "scheduler", "warmup", "weight_decay", "seed"),
        *("device", "dtype"),
    ),
    "Validation": ("eval_steps", "keep", "patience"),
    "Card": ("license", "author", "language"),
    "Run": ("out", "resume", "checkpoint_steps", "log_steps"),
    "Tracking": TRACKING_OPTIONS,
}


def make_command() -> command.DefaultGroup:
    """Build the group; `train` has an option for each registered term and a choice of each
    distance."""
    group = command.DefaultGroup(
        "train-student",
        default="train",
        params=[version_option("train-student")],
        help=GROUP_HELP,
        epilog=EPILOG,
    )
    train = Command(
        "train",
        callback=_train,
        params=_params(),
        help=HELP,
        epilog=EPILOG,
        groups=GROUPS,
        configurable=True,
    )
    for each in (train, evaluate, predict):
        group.add_command(each)
    return group


def _params() -> list[click.Parameter]:
    distances = ", ".join(f"{row.name} ({row.help})" for row in DISTANCES.values())
    with_temperature = [row.name for row in DISTANCES.values() if row.uses_temperature]
    return [
        click.Argument(["caches"], type=click.Path(path_type=Path), nargs=-1, metavar="[CACHE]..."),
        click.Option(
            ["--cache"],
            type=click.Path(path_type=Path),
            multiple=True,
            help="Folder of a cache. Repeat it to average teachers that were cached on the same "
            "examples and pairs.",
        ),
        _option("--student", str, "Hub id or folder of a model, instead of the cache's."),
        _option(
            "--allow-model-type",
            str,
            f"Type of model, as in its config.json, that a student may be of beside {TYPES}. "
            "Repeatable. Only for students of people whom you trust: what loading another type may "
            "cost is not bounded.",
            multiple=True,
        ),
        _option(
            "--layers",
            command.Layers(),
            "Starting point in the cache: how many layers, or which, such as 0-2-5. "
            "[default: the deepest]",
        ),
        _option("--method", click.Choice(list(PRESETS)), "Preset of the weights."),
        *_weight_options(),
        _option(
            "--distance", click.Choice(list(DISTANCES)), f"Distance to the teacher: {distances}."
        ),
        _option("--temperature", float, f"Temperature of {' and '.join(with_temperature)}."),
        _option("--mix-ratio", float, "Mixes per original."),
        _option("--epochs", int, "Passes over the train split."),
        _option("--batch-size", int, "Originals per step, over all processes; mixes come on top."),
        _option("--learning-rate/--lr", float, "Highest learning rate of AdamW."),
        _option("--warmup", float, "Share of the steps in which the learning rate rises."),
        _option("--weight-decay", float, "Of matrices; biases and normalisations are not decayed."),
        _option("--seed", int, "Of the new head, the order and dropout."),
        _option("--device", click.Choice(DEVICES), "Where to compute."),
        _option(
            "--dtype",
            click.Choice(DTYPES),
            "Number format of the products; auto is bfloat16 on GPUs that have it, else float32.",
        ),
        _option("--checkpoint-steps", int, "Steps between checkpoints within an epoch."),
        _option("--log-steps", int, "Steps between lines of losses."),
        _option("--eval-steps", int, "Steps between validations. [default: an epoch or more]"),
        _option("--keep", click.Choice(KEEPS), "Save the best validation's weights, or the last."),
        _option("--patience", int, "End after so many validations without a better one."),
        _option("--max-steps", int, "End after so many steps, whatever --epochs says."),
        _option("--scheduler", click.Choice(SCHEDULERS), "Of the rate, named as in transformers."),
        _option("--gradient-accumulation", int, "Parts that a step's rows are computed in."),
        _option("--max-length", int, "Tokens of an example, at most. [default: the cache's]"),
        _option("--resume", None, "Continue an unfinished run in --out.", is_flag=True),
        *tracking_options(),
        _option(
            "--out",
            click.Path(path_type=Path),
            "Folder. [default: students/ and the name of the cache]",
        ),
        _option("--license", str, "For the card: one of the Hub's, such as mit, or a text."),
        _option("--author", str, "For the card."),
        _option("--language", str, "Codes for the card, such as en. [default: the cache's]"),
        click.Option(["--json", "as_json"], is_flag=True, help="Print metrics.json, not a table."),
    ]


def _weight_options() -> Iterator[click.Option]:
    for term in TERMS.values():
        text = f"Weight of {term.help}; overrides the method's."
        yield click.Option([f"--alpha-{term.name}"], type=float, help=text)


def _option(flag: str, kind: Any, text: str, **more: Any) -> click.Option:
    """Make an option whose default is the dataclass's; a second name stands behind a slash."""
    flags = flag.split("/")
    default = DEFAULTS[flags[0].removeprefix("--").replace("-", "_")]
    shown = default is not None and not more.get("multiple") and not more.get("is_flag")
    return click.Option(flags, type=kind, default=default, show_default=shown, help=text, **more)


def _train(as_json: bool, caches: tuple[Path, ...], **values: Any) -> None:
    ctx = click.get_current_context()
    values["cache"] = ctx.params["cache"] = _caches(ctx, caches)
    given = {name: values.pop(f"alpha_{name}") for name in TERMS}
    weights = {name: value for name, value in given.items() if value is not None}
    options = TrainOptions(weights=weights, **values)
    for root in options.roots:
        check_cache(root)

    with working(), command.stopping(lambda: _kept(options)):
        now("loading the libraries")
        from mixkd.student_train.train import train

        result = train(options)
    if result is None:
        return
    write_config(ctx, "train-student", options.out_folder / RUN_FILE)
    if as_json:
        import json

        click.echo(json.dumps(result.to_json(), indent=1))
        return
    from rich.console import Console

    from mixkd.student_train.report import closing, table

    Console().print(table(result))
    click.echo(command.wrapped(closing(result)))
    click.echo(f"{options.out_folder}: the student, metrics.json and README.md")


def _caches(ctx: click.Context, caches: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the caches as they were named: by position, with --cache, or in a file."""
    given: tuple[Path, ...] = ctx.params["cache"]
    if caches and ctx.get_parameter_source("cache") is not ParameterSource.COMMANDLINE:
        given = ()
    if not caches and not given:
        option = next(option for option in ctx.command.params if option.name == "cache")
        raise click.MissingParameter(ctx=ctx, param=option)
    if caches:
        ctx.set_parameter_source("cache", ParameterSource.COMMANDLINE)
    return (*caches, *given)


def _kept(options: TrainOptions) -> str:
    """Say what a run that was stopped leaves."""
    from mixkd.student_train import checkpoints

    begun = checkpoints.newest(options.out_folder) is not None
    return "the last checkpoint stays: continue with --resume" if begun else "nothing was saved yet"


train_student = make_command()


def main() -> None:
    """Run the command as a process."""
    command.main(make_command())


if __name__ == "__main__":
    main()
