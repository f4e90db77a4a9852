"""`cache-teacher --task …`: from options to a sealed cache, in the order in which things can fail.

Target first, without a teacher; then the teacher, its probe, an estimate, and the pass.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from mixkd.shared import publish
from mixkd.shared.cache.facts import cache_facts
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.starts import start_name
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.json_values import dumps
from mixkd.shared.models.speed import latency_ms
from mixkd.shared.models.tokenizer import tokenizer_files
from mixkd.shared.options import check
from mixkd.shared.progress import ShowProgress, now, progress, working
from mixkd.teacher_cache.build import Target, build, create
from mixkd.teacher_cache.builders import build_on_devices
from mixkd.teacher_cache.estimate import log_estimate
from mixkd.teacher_cache.gate import Gate
from mixkd.teacher_cache.given import GivenOrigin
from mixkd.teacher_cache.inherited import try_tokenizer
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.origin import TeacherInMemory, TeacherOrigin
from mixkd.teacher_cache.prepare import Prepared, prepare
from mixkd.teacher_cache.remembered import with_memory
from mixkd.teacher_cache.results import BuildResult, RunFacts
from mixkd.teacher_cache.scorer import choose_dtype, scorer_of
from mixkd.teacher_cache.scoring import LogitsOfRows, Scorer
from mixkd.teacher_cache.starts import choose_starts, start_bytes, student_start
from mixkd.teacher_cache.teacher import Teacher

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)


@working()
def build_cache(
    options: BuildOptions, model: nn.Module | None = None, tokenizer: Any = None
) -> BuildResult | None:
    """Build, continue or extend a cache, and seal it.

    Args:
        model, tokenizer: A teacher in memory, in place of `options.teacher`; see
            `Teacher.from_model` for what it must have. With `options.logits_column`, the tokenizer
            alone, in place of `options.tokenizer`.

    Returns:
        The cache in numbers and what this run did; None after a dry run.

    Raises:
        MixkdError: Of a class that names what is wrong; nothing that existed is overwritten.
    """
    options = with_memory(options)
    if options.dry_run:
        log.info("a dry run loads the teacher and times one batch; it writes nothing")
    if options.devices is None:
        run = run_builder(options, _in_memory(options, model, tokenizer))
    else:
        found = "several devices, for a teacher in memory"
        one = "several devices load the teacher from a folder or the Hub: give options.teacher"
        check("devices", found, model is None, "none", one)
        run = build_on_devices(options)
    if options.dry_run:
        return None
    if run and not run.complete:
        log.info("the time limit came first; the same command continues")
    if run and run.rows_lost:
        log.info("%d rows were computed by another builder as well", run.rows_lost)
    now("sealing the cache")
    CacheWriter.open(options.root).seal()
    now("measuring what the pairs add")
    return BuildResult(cache_facts(Cache.open(options.root)), run)


def _in_memory(
    options: BuildOptions, model: nn.Module | None, tokenizer: Any
) -> TeacherInMemory | GivenOrigin | None:
    spec = options.logits_spec
    if model is not None:
        alone = "leave one of the two out"
        check("--logits-column", "a teacher in memory too", spec is None, "one of the two", alone)
        return TeacherInMemory(model, tokenizer, str(options.teacher or "the teacher"))
    if spec is None or tokenizer is None:
        return None
    return GivenOrigin.of(spec.named, None, tokenizer)


def run_builder(
    options: BuildOptions,
    given: TeacherInMemory | GivenOrigin | None = None,
    show: ShowProgress = progress,
) -> RunFacts | None:
    """Do what `build_cache` does, but for the seal.

    Args:
        show: Shows the progress.

    Returns:
        What was done; None if nothing was missing, and after a dry run.
    """
    limit = options.time_limit_s
    deadline = float("inf") if limit is None else time.monotonic() + limit
    prepared = prepare(options, given)
    target, writer = prepared.target, prepared.writer
    missing = writer.missing(target.wanted) if writer else sum(target.wanted.values())
    if writer and not missing:
        present = max((record.stop for record in writer.records("pairs")), default=0)
        asked = "%s holds %d pairs, %d were asked for: nothing to do"
        log.info(asked, target.root, present, target.pairs)
        return None
    scorer: LogitsOfRows
    if prepared.given is None:
        teacher, scorer, target = _load(options, prepared)
        now("estimating, with one batch")
        log_estimate(target, scorer, missing, _starts_bytes(options, teacher) if not writer else 0)
    else:
        teacher, scorer = None, prepared.given
        log.info("to do: %d rows, whose logits were given", missing)
    if options.dry_run:
        return None
    scored, seconds = None, 0.0
    if not writer:
        now("cutting starting points for students")
        files = _new_files(options, prepared, teacher)
        began = time.monotonic()
        writer, scored = create(target, scorer, files, _gate(options, prepared), show)
        seconds = time.monotonic() - began  # the validation splits are scored by then
    built = build(target, scorer, writer, deadline, scored, show)
    done = RunFacts.of(replace(built, seconds=built.seconds + seconds), scorer.made)
    if teacher:
        now("measuring the teacher alone")
        examples = target.examples[target.identity.splits[1].name]
        alone = latency_ms(teacher.score, examples, teacher.pad_id)
        done = replace(done, parameters=teacher.parameter_count, latency_ms=alone)
    _note_run(target.root, done)
    return done


def _load(options: BuildOptions, prepared: Prepared) -> tuple[Teacher, Scorer, Target]:
    """Load and probe the teacher, and decide the number format of its pass.

    Returns:
        The target with what a new header says of that format.
    """
    target, identity = prepared.target, prepared.target.identity
    longest = max(int(rows.lengths.max()) for rows in target.examples.values())
    now("loading the teacher")
    teacher = cast(TeacherOrigin, prepared.origin).load(
        identity.teacher.columns, identity.mixup.mask, longest, options.device
    )
    train = target.examples["train"]
    now("probing the teacher")
    teacher.probe(train)
    now("comparing number formats")
    difference = choose_dtype(teacher, options.dtype, train, identity)
    if not prepared.writer:
        about = {**target.draft.about, "dtype_difference": difference}
        target = replace(target, draft=msgspec.structs.replace(target.draft, about=about))
    return teacher, scorer_of(teacher, options.batch_tokens), target


def _new_files(
    options: BuildOptions, prepared: Prepared, teacher: Teacher | None
) -> dict[str, bytes]:
    """Make what a new cache gets of its teacher: tokenizer and starting points for students."""
    target, name = prepared.target, prepared.origin.name
    tokenizer = tokenizer_files(prepared.origin.tokenizer())
    train, longest = target.examples["train"], target.identity.max_length
    model_type = getattr(teacher.model.config, "model_type", None) if teacher else None
    try_tokenizer(name, tokenizer, model_type, train, longest)
    files = {f"tokenizer/{name}": data for name, data in tokenizer.items()}
    if teacher is None:
        return files
    for layers in choose_starts(teacher.model, options.student_layers, options.starts):
        for name, data in student_start(teacher.model, layers).items():
            files[f"student_init/{start_name(layers)}/{name}"] = data
    return files


def _starts_bytes(options: BuildOptions, teacher: Teacher) -> int:
    """Estimate the size of the starting points: float32, all but the layers that are left out."""
    starts = choose_starts(teacher.model, options.student_layers, options.starts)
    return sum(start_bytes(teacher.model, layers) for layers in starts)


def _gate(options: BuildOptions, prepared: Prepared) -> Gate:
    return Gate(
        teacher=prepared.origin.name,
        identity=prepared.target.identity,
        examples=prepared.target.examples,
        metric=prepared.target.draft.metric,
        minimum=options.min_teacher_score,
    )


def _note_run(root: Path, done: RunFacts) -> None:
    """Write provenance for people: covered by no digest."""
    publish.Root(root).create(f"runs/{uuid.uuid4()}.json", dumps(done.to_json()))
