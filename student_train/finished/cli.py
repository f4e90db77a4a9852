"""Commands for a model that is finished: `evaluate` and `predict`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mixkd.shared.help import Command, Words
from mixkd.shared.options import DATA_HELP
from mixkd.shared.places import check_cache
from mixkd.shared.progress import now, working

log = logging.getLogger(__name__)
FILE = click.Path(path_type=Path)


def model_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add what both commands take of the model and the rows."""
    for option in (
        click.option(
            "--allow-model-type",
            multiple=True,
            help="Type of model beside the tested ones. Repeatable. Only for models of people whom "
            "you trust.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, …"),
        click.option("--max-length", type=int, help="Tokens. [default: the model's own limit]"),
        click.option("--batch-size", type=int, default=64, show_default=True, help="Rows at once."),
        click.option("--text-columns", type=Words(), default=(), help="One, or two for pairs."),
        click.option("--split", help="Of data that has several. [default: test, else validation]"),
    ):
        function = option(function)
    return function


@click.command(
    cls=Command,
    epilog="Example: train-student evaluate students/rte --data test.csv --cache shards/rte",
)
@click.argument("model", metavar="STUDENT")
@click.option(
    "--data",
    help=f"Labelled rows: {DATA_HELP}; - is standard input. "
    "[default: the cache's validation split]",
)
@click.option("--cache", type=FILE, help="Compare with the teacher's answers to the same texts.")
@click.option("--label-column", help="[default: label, or the one that holds the model's labels]")
@click.option("--predictions", type=FILE, help="Write each row's prediction to FILE.csv or .jsonl.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not tables.")
@model_options
def evaluate(model: str, predictions: Path | None, as_json: bool, **values: Any) -> None:
    """Evaluate a student on labelled rows; a teacher, or any other classifier, too."""
    from mixkd.student_train.finished.predict import check_file, new_file, write

    if predictions is not None:
        check_file(predictions, "--predictions")
    if values["cache"] is not None:
        check_cache(values["cache"])
    with working():
        now("loading the libraries")
        from mixkd.student_train.finished.evaluation import evaluate as run

        found = run(model, **values)
    if as_json:
        import json

        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        from rich.console import Console

        from mixkd.student_train.finished.report import tables

        for table in tables(found):
            Console().print(table)
    if predictions is not None:
        with new_file(predictions) as stream:
            write(stream, found.predictions(), predictions.suffix)
        log.info("%s: the predictions of %s rows", predictions, f"{found.examples:,}")


@click.command(
    cls=Command,
    epilog="Example: train-student predict students/rte --data new.csv --out out.csv",
)
@click.argument("model", metavar="STUDENT")
@click.option("--data", help=f"Rows of texts: {DATA_HELP}; - is standard input.")
@click.option("--text", multiple=True, help="A text itself, in place of --data. Repeatable.")
@click.option("--out", type=FILE, help="FILE.csv or .jsonl. [default: standard output, csv]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, not csv.")
@model_options
def predict(
    model: str,
    data: str | None,
    text: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Predict the labels of texts, with probabilities; rows keep their order and columns."""
    if (data is None) == (not text):
        raise click.UsageError("Name either --data or --text.")
    if out is not None and as_json:
        raise click.UsageError("--json is for standard output: give --out a name with .jsonl.")
    from mixkd.student_train.finished.predict import check_file, new_file, write
    from mixkd.student_train.finished.predict import predict as run

    if out is not None:
        check_file(out, "--out")
    with working():
        now("loading the model")
        found = run(model, data if data is not None else list(text), **values)
    if out is None:
        write(sys.stdout, found, ".jsonl" if as_json else ".csv")
        return
    with working(), new_file(out) as stream:
        count = write(stream, found, out.suffix)
    log.info("%s: predictions of %s rows", out, f"{count:,}")
