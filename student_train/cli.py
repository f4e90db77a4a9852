"""`train-student`: options in, one call, a table out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from mixkd.shared import command
from mixkd.shared.models.config import MODEL_TYPES
from mixkd.student_train.objective.distances import DISTANCES
from mixkd.student_train.objective.terms import PRESETS, TERMS
from mixkd.student_train.options import DEVICES, DTYPES, TrainOptions

DEFAULTS = {
    name: field.default for name, field in TrainOptions.__dataclass_fields__.items()
}  # one place for defaults

TYPES = f"{', '.join(MODEL_TYPES[:-1])} and {MODEL_TYPES[-1]}"
HELP = "Train a student from a cache of a teacher's logits; neither teacher nor data are needed."
EPILOG = """\b
Example:
  train-student --cache shards/rte --method mixkd --out students/rte
"""


def make_command() -> click.Command:
    """Build the command, with an option for each registered term and a choice of each distance."""
    return click.Command(
        "train-student", callback=_train, params=_params(), help=HELP, epilog=EPILOG
    )


def _params() -> list[click.Parameter]:
    distances = ", ".join(f"{row.name} ({row.help})" for row in DISTANCES.values())
    with_temperature = [row.name for row in DISTANCES.values() if row.uses_temperature]
    return [
        click.Option(
            ["--cache"],
            type=click.Path(path_type=Path),
            multiple=True,
            required=True,
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
        _option("--learning-rate", float, "Highest learning rate of AdamW."),
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
        _option("--resume", None, "Continue an unfinished run in --out.", is_flag=True),
        _option("--track", str, "Tracker: tensorboard, wandb, … Repeatable.", multiple=True),
        _option(
            "--out",
            click.Path(path_type=Path),
            "Folder. [default: students/ and the name of the cache]",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print metrics.json, not a table."),
        click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
    ]


def _weight_options() -> Iterator[click.Option]:
    for term in TERMS.values():
        text = f"Weight of {term.help}; overrides the method's."
        yield click.Option([f"--alpha-{term.name}"], type=float, help=text)


def _option(flag: str, kind: Any, text: str, **more: Any) -> click.Option:
    """Make an option whose default is the dataclass's."""
    default = DEFAULTS[flag.removeprefix("--").replace("-", "_")]
    shown = default is not None and not more.get("multiple") and not more.get("is_flag")
    return click.Option([flag], type=kind, default=default, show_default=shown, help=text, **more)


def _train(as_json: bool, debug: bool, **values: Any) -> None:
    given = {name: values.pop(f"alpha_{name}") for name in TERMS}
    weights = {name: value for name, value in given.items() if value is not None}
    options = TrainOptions(weights=weights, **values)

    from mixkd.student_train.train import train

    result = train(options)
    if result is None:
        return
    if as_json:
        import json

        click.echo(json.dumps(result.to_json(), indent=1))
        return
    from rich.console import Console

    from mixkd.student_train.report import table

    Console().print(table(result))
    click.echo(f"{options.out_folder}: the student, metrics.json and README.md")


train_student = make_command()


def main() -> None:
    """Run the command as a process."""
    command.main(make_command())


if __name__ == "__main__":
    main()
