"""`train-student`: options in, one call, a table out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mixkd.shared import command
from mixkd.student_train.objective.terms import DISTANCES, PRESETS
from mixkd.student_train.options import DEVICES, DTYPES, TrainOptions

DEFAULTS = {
    name: field.default for name, field in TrainOptions.__dataclass_fields__.items()
}  # one place for defaults

EPILOG = """\b
Example:
  train-student --cache shards/rte --method mixkd --out students/rte
"""


def _option(flag: str, kind: Any, text: str, **more: Any) -> Callable[[Any], Any]:
    """A click option whose default is the dataclass's."""
    name = flag.removeprefix("--").replace("-", "_")
    default = DEFAULTS[name]
    shown = default is not None and not more.get("multiple") and not more.get("is_flag")
    return click.option(flag, type=kind, default=default, show_default=shown, help=text, **more)


@click.command(name="train-student", epilog=EPILOG)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Folder of a cache. Repeat it to average teachers that were cached on the same examples "
    "and pairs.",
)
@_option("--student", str, "Hub id or folder of another model than the cache's starting point.")
@_option("--layers", int, "Depth of the cache's starting point. [default: the deepest]")
@_option("--method", click.Choice(list(PRESETS)), "Preset of the four weights.")
@_option("--alpha-mle", float, "Weight of cross entropy on originals; overrides the method's.")
@_option("--alpha-sm", float, "Weight of cross entropy on mixes.")
@_option("--alpha-tmkd", float, "Weight of the distance to the teacher on mixes.")
@_option("--alpha-kd", float, "Weight of the distance to the teacher on originals.")
@_option("--distance", click.Choice(DISTANCES), "Distance to the teacher's logits.")
@_option("--temperature", float, "Temperature of kl and ce.")
@_option("--mix-ratio", float, "Mixes for each original.")
@_option("--epochs", int, "Passes over the train split.")
@_option("--batch-size", int, "Originals in a step, over all processes; mixes come on top.")
@_option("--learning-rate", float, "Highest learning rate of AdamW.")
@_option("--warmup", float, "Share of the steps in which the learning rate rises.")
@_option("--weight-decay", float, "Of matrices; biases and normalisations are not decayed.")
@_option("--seed", int, "Of the new head, the order and dropout.")
@_option("--device", click.Choice(DEVICES), "Where to compute.")
@_option(
    "--dtype",
    click.Choice(DTYPES),
    "Number format of the products; auto is bfloat16 on GPUs that have it, else float32.",
)
@_option("--checkpoint-steps", int, "Steps between checkpoints within an epoch.")
@_option("--log-steps", int, "Steps between lines of losses.")
@_option("--resume", None, "Continue an unfinished run in --out.", is_flag=True)
@_option("--track", str, "Tracker: tensorboard, wandb, … Repeatable.", multiple=True)
@_option("--out", click.Path(path_type=Path), "Folder. [default: students/ and the cache's name]")
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json instead of a table.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def train_student(as_json: bool, debug: bool, **values: Any) -> None:
    """Train a student from a cache of a teacher's logits; neither teacher nor data are needed."""
    options = TrainOptions(**values)

    from mixkd.student_train.train import train

    metrics = train(options)
    if metrics is None:
        return
    if as_json:
        import json

        click.echo(json.dumps(metrics, indent=1))
        return
    from rich.console import Console

    from mixkd.student_train.report import table

    Console().print(table(metrics))
    click.echo(f"{options.out_folder}: the student, metrics.json and README.md")


def main() -> None:
    command.main(train_student)


if __name__ == "__main__":
    main()
