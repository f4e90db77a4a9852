"""`cache-teacher`: options in, one call, numbers out."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from mixkd.shared import command
from mixkd.shared.cache.starts import DEFAULT_RULE, RULES
from mixkd.shared.configuration import write_config
from mixkd.shared.help import Command, Words, version_option
from mixkd.shared.mixup import MASK_RULES
from mixkd.shared.places import check_cache
from mixkd.shared.progress import now, working
from mixkd.teacher_cache.finetune_cli import finetune
from mixkd.teacher_cache.options import DTYPES, LOGITS_DTYPES, SHARD_FORMATS, BuildOptions
from mixkd.teacher_cache.parameters import (
    BUILD_GROUPS,
    FOLDER,
    Numbers,
    Seconds,
    Starts,
    added_rows_options,
    as_json,
    credit_options,
    data_options,
    logits_options,
    train_split,
    validation_split,
)

VERIFY_GROUPS = {
    "What to compare with": ("deep", "teacher", "rows", "device"),
    "Data": (
        *("data", "text_columns", "label_column", "train_split", "validation_split"),
        *("unlabelled", "augmented", "id_column"),
        *("logits_column", "logits_kind"),
    ),
    "Trust": ("allow_model_type",),
}


@click.group(
    cls=command.DefaultGroup,
    default="build",
    params=[version_option("cache-teacher")],
    epilog="Example: cache-teacher --task rte --pairs 50000",
)
def cache_teacher() -> None:
    """Run a teacher once over examples and mixup pairs, and share its logits.

    Options without a command are those of `build`: see cache-teacher build --help.
    """


@cache_teacher.command(
    cls=Command,
    groups=BUILD_GROUPS,
    configurable=True,
    epilog="Example: cache-teacher --task mood --data mood.csv --teacher teachers/mood "
    "--pairs 5000",
)
@data_options
@added_rows_options
@click.option("--pairs", type=int, required=True, help="Mixup pairs to have; 0: originals only.")
@click.option("--teacher", help="Hub id or folder. [default: a published one for GLUE's tasks]")
@click.option("--teacher-labels", type=Numbers(), help="The teacher's label for each class.")
@click.option("--out", type=FOLDER, help="Folder of the cache. [default: shards/TASK]")
@click.option("--format", type=click.Choice(SHARD_FORMATS), help="Of shards. [default: arrow]")
@click.option("--beta", type=float, help="lam ~ Beta(beta, beta). [default: 0.4]")
@click.option(
    "--mask", type=click.Choice(MASK_RULES), help="Visible positions of a mix. [default: union]"
)
@click.option("--seed", type=int, help="Of the list of pairs. [default: 0]")
@click.option("--max-length", type=int, help="Tokens of the longest example. [default: 128]")
@click.option("--subset", type=float, help="Stratified part of train, such as 0.1.")
@click.option(
    "--logits-dtype", type=click.Choice(LOGITS_DTYPES), help="As stored. [default: float32]"
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="auto",
    show_default=True,
    help="Number format of the teacher's pass.",
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, …", show_default=True)
@click.option("--devices", type=Words(), help="One builder each: all, 0,1,3 (CUDA), cpu,cpu, …")
@click.option("--batch-tokens", type=int, help="Rows x positions per batch. [default: by device]")
@click.option("--shard-rows", type=int, help="Rows per shard. [default: 4096]")
@click.option(
    "--student-layers",
    type=Starts(),
    help="Starting points of students: depths, such as 3,6, or layers of the teacher, such as "
    "0-2-5; or none. [default: half]",
)
@click.option(
    "--starts",
    type=Words(),
    help=f"Which layers make a start of a depth: {', '.join(RULES)}, or both. "
    f"[default: {DEFAULT_RULE}]",
)
@click.option(
    "--min-teacher-score",
    type=float,
    help="Refuse a weaker teacher; 0 takes any. [default: better than the majority class]",
)
@click.option("--time-limit", "time_limit_s", type=Seconds(), help="Stop and seal after 90s, 2h, …")
@click.option("--dry-run", is_flag=True, help="Stop after the probe and the estimate.")
@click.option("--keep-columns", type=Words(), help="Further columns of the data to carry along.")
@click.option("--no-text", "text", flag_value=False, default=True, help="Leave out source texts.")
@logits_options
@click.option("--tokenizer", help="Hub id or folder of the students' one, with --logits-column.")
@credit_options
@as_json
def build(as_json: bool, **values: Any) -> None:
    """Build, continue or extend a cache.

    Run the same command again to continue; ask for more pairs to extend. Options that are left out
    have the values the cache was built with.
    """
    options = BuildOptions(**values)
    with working(), command.stopping(lambda: _kept(options)):
        now("loading the libraries")
        from mixkd.teacher_cache.next_steps import train_command
        from mixkd.teacher_cache.run import build_cache

        result = build_cache(options)
    if result is None:
        click.echo(f"dry run: nothing was written to {options.root}")
        return
    ran = options.root.resolve()
    # Beside the cache, not in it: a cache names no place on this machine.
    write_config(click.get_current_context(), "cache-teacher", ran.with_name(f"{ran.name}.yaml"))
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
    else:
        click.echo(command.wrapped(result.cache.lines()))
        if result.run:
            click.echo(
                f"this run     {result.run.rows} rows in {result.run.seconds:.1f} s, "
                f"{result.run.rows_per_second:.1f} rows/s"
            )
        if line := train_command(options.root, result.cache, options.tokenizer):
            click.echo(f"next         {line}")


def _kept(options: BuildOptions) -> str:
    """Say what a build that was stopped leaves."""
    from mixkd.shared.cache.header import HEADER

    if not (options.root / HEADER).exists():
        return "nothing was written yet"
    seal = f"cache-teacher seal {shlex.quote(str(options.root))}"
    return (
        "what was committed stays: the same command continues, and what is complete can be used "
        f"after: {seal}"
    )


@cache_teacher.command(cls=Command, epilog="Example: cache-teacher seal shards/rte")
@click.argument("folder", metavar="DIR", type=FOLDER)
@as_json
def seal(folder: Path, as_json: bool) -> None:
    """Seal what is complete of a cache.

    What an unfinished build has committed can be used then as it is.
    """
    check_cache(folder)
    from mixkd.shared.cache.reader import Cache
    from mixkd.shared.cache.writer import CacheWriter

    with working("looking at what is complete"):
        CacheWriter.open(folder).seal()
    cache = Cache.open(folder)
    rows = cache.seal.rows
    if as_json:
        found = {"seal": cache.pin, "originals": rows.originals, "pairs": rows.pairs}
        click.echo(json.dumps(found, indent=1))
    else:
        click.echo(f"{folder}: sealed {rows.originals} originals and {rows.pairs} pairs")


@cache_teacher.command(cls=Command, epilog="Example: cache-teacher info shards/rte")
@click.argument("folder", metavar="DIR", type=FOLDER)
@as_json
def info(folder: Path, as_json: bool) -> None:
    """Print what a cache holds and what its pairs add.

    Its examples, size and labels, how good its teacher is, and how far the teacher's answers on
    mixes are from interpolating its answers on both sides.
    """
    check_cache(folder)
    from mixkd.shared.cache.facts import cache_facts
    from mixkd.shared.cache.reader import Cache

    with working("reading the cache"):
        facts = cache_facts(Cache.open(folder))
    shown = json.dumps(facts.to_json(), indent=1) if as_json else command.wrapped(facts.lines())
    click.echo(shown)


@cache_teacher.command(
    cls=Command,
    groups=VERIFY_GROUPS,
    epilog="Example: cache-teacher verify shards/rte --deep --teacher teachers/rte --rows 200",
)
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--deep", is_flag=True, help="Every pair's plan and every text, not samples of them.")
@click.option("--teacher", help="Hub id or folder: compare all that the cache has of it.")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Rows to score again.",
)
@click.option("--device", default="auto", show_default=True, help="For the teacher.")
@click.option("--data", help="What the cache was made from: compare texts and labels.")
@click.option("--text-columns", type=Words(), default="", help="Of --data, one or two.")
@click.option("--label-column", help="Of --data. [default: label, or the one that reads as labels]")
@train_split
@validation_split
@added_rows_options
@logits_options
@click.option(
    "--allow-model-type",
    multiple=True,
    help="Type of model whose tokenizer may be loaded beside the tested ones, as for "
    "train-student. Repeatable. Only for caches of people whom you trust.",
)
@as_json
def verify(
    folder: Path,
    deep: bool,
    teacher: str | None,
    rows: int,
    device: str,
    data: str | None,
    text_columns: tuple[str, ...],
    label_column: str | None,
    unlabelled: tuple[str, ...],
    augmented: tuple[str, ...],
    id_column: str | None,
    logits_column: tuple[str, ...] | None,
    logits_kind: str,
    train_split: str | None,
    validation_split: tuple[str, ...],
    allow_model_type: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check what a cache claims.

    Names every finding, and what was not checked.
    """
    check_cache(folder)
    from dataclasses import asdict

    with working("checking the cache"):
        from mixkd.teacher_cache.data.load import DataSpec
        from mixkd.teacher_cache.data.logits import LogitsSpec
        from mixkd.teacher_cache.data.unlabelled import REST
        from mixkd.teacher_cache.verify import verify_claims

        spec = None
        if data:
            spec = DataSpec(
                *("data", data, text_columns, label_column),
                train_split=train_split,
                validation_split=validation_split,
                # What a build took as the rest is in the data, which are read whole here.
                unlabelled=tuple(place for place in unlabelled if place != REST),
                augmented=augmented,
                id_column=id_column,
            )
        elif unlabelled or augmented or id_column:
            raise click.UsageError(
                "--unlabelled, --augmented and --id-column need --data beside them"
            )
        found = verify_claims(
            folder,
            deep,
            teacher=teacher,
            rows=rows,
            device=device,
            data=spec,
            logits=LogitsSpec(logits_column, logits_kind) if logits_column else None,
            allow_model_type=allow_model_type,
        )
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1))
    else:
        notes = [finding for finding in found.findings if finding.harmless]
        damaged = any(finding.claim in ("files", "rows") for finding in found.wrong)
        place = shlex.quote(str(folder))
        repair = f"; what can be repaired: cache-teacher repair {place} --dry-run"
        count = f"{len(found.wrong)} finding{'s' * (len(found.wrong) > 1)}"
        verdict = f"{count}{repair * damaged}" if found.wrong else "in order"
        lines = [
            *(f"{finding.claim}: {finding.message}" for finding in found.wrong),
            *(f"note, {finding.claim}: {finding.message}" for finding in notes),
            *(f"not checked, {item.claim}: {item}" for item in found.unchecked),
            f"{folder}: {verdict}",
        ]
        click.echo(command.shown(lines))
    if found.wrong:
        raise SystemExit(1)


@cache_teacher.command(cls=Command, epilog="Example: cache-teacher repair shards/rte --dry-run")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@as_json
def repair(folder: Path, dry_run: bool, as_json: bool) -> None:
    """Move what is damaged out of the way.

    It goes to quarantine/; the next build fills the gap and seals again.
    """
    check_cache(folder)
    from dataclasses import asdict

    from mixkd.shared.cache.repair import repair_cache

    with working("looking for damage"):
        steps = repair_cache(folder, dry_run)
    lost = [step for step in steps if step.action == "get again"]
    done = len(steps) - len(lost)
    if as_json:
        click.echo(json.dumps([asdict(step) for step in steps], indent=1))
    else:
        reported = [f"{step.action} {step.file}: {step.reason}" for step in steps]
        ended = "would be done" if dry_run else "done; now run the build again"
        verdict = f"{folder}: {f'{done} steps {ended}' if done else 'nothing to repair'}"
        click.echo(command.shown([*reported, verdict]))
    if lost:
        raise SystemExit(1)


cache_teacher.add_command(finetune)


def main() -> None:
    command.main(cache_teacher)


if __name__ == "__main__":
    main()
