"""`cache-teacher finetune`: options in, one call, scores and the next step out."""

from __future__ import annotations

import json
from typing import Any

import click

from mixkd.shared import command
from mixkd.shared.configuration import RUN_FILE, write_config
from mixkd.shared.help import Command, tracking_options
from mixkd.shared.progress import now, working
from mixkd.shared.trackers import TRACKING_OPTIONS
from mixkd.teacher_cache.finetune import DTYPES, FinetuneOptions
from mixkd.teacher_cache.parameters import (
    CREDITS,
    DATA,
    FOLDER,
    as_json,
    credit_options,
    data_options,
)

FINETUNE_GROUPS = {
    "Data": DATA,
    "Training": ("model", "epochs", "batch_size", "learning_rate", "seed", "dtype", "device"),
    "Card": CREDITS,
    "Run": ("out",),
    "Tracking": TRACKING_OPTIONS,
}


@click.command(
    cls=Command,
    groups=FINETUNE_GROUPS,
    configurable=True,
    params=[*tracking_options()],
    epilog="Example: cache-teacher finetune --task rte --model bert-base-uncased "
    "--out teachers/rte",
)
@data_options
@credit_options
@click.option("--model", required=True, help="Hub id or folder of a pretrained encoder.")
@click.option("--out", type=FOLDER, help="Folder of the teacher. [default: teachers/TASK]")
@click.option("--subset", type=float, default=1.0, show_default=True, help="Part of train.")
@click.option("--epochs", type=int, default=3, show_default=True, help="Passes over train.")
@click.option("--batch-size", type=int, default=32, show_default=True, help="Rows per step.")
@click.option(
    "--learning-rate", "--lr", type=float, default=5e-5, show_default=True, help="The highest."
)
@click.option("--max-length", type=int, help="Tokens of the longest example. [default: 128]")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the head, order and dropout."
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="auto",
    show_default=True,
    help="Number format of the products.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@as_json
def finetune(as_json: bool, **values: Any) -> None:
    """Fine-tune a pretrained encoder as a teacher."""
    options = FinetuneOptions(**values)
    nothing = command.stopping(lambda: "nothing was written")
    with working(), nothing:
        now("loading the libraries")
        from mixkd.teacher_cache.finetune import finetune as run

        tuned = run(options)
    write_config(click.get_current_context(), "cache-teacher finetune", tuned.out / RUN_FILE)
    if as_json:
        click.echo(json.dumps({"out": str(tuned.out), "scores": tuned.scores}, indent=1))
        return
    for split, scores in tuned.scores.items():
        click.echo(f"{split}: {tuned.metric} {scores[tuned.metric]:.4f}")
    click.echo(f"{tuned.out}: the teacher, trained in {tuned.seconds:.0f} s")
    if tuned.next_command:
        click.echo(f"next: {tuned.next_command}")
