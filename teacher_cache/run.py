"""`cache-teacher --task …`: from options to a sealed cache, in the order in which things can fail.

Target first, without a teacher; then the teacher, its probe, an estimate, and the pass.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mixkd.shared import publish
from mixkd.shared.cache.facts import CacheFacts, cache_facts
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Made
from mixkd.shared.json_values import dumps
from mixkd.shared.models.tokenizer import tokenizer_files
from mixkd.teacher_cache.build import Built, Target, build, create
from mixkd.teacher_cache.estimate import log_estimate
from mixkd.teacher_cache.gate import Gate
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.origin import TeacherInMemory
from mixkd.teacher_cache.prepare import Prepared, prepare
from mixkd.teacher_cache.scorer import choose_dtype, scorer_of
from mixkd.teacher_cache.scoring import Scorer
from mixkd.teacher_cache.starts import student_depths, student_start
from mixkd.teacher_cache.teacher import Teacher

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What one run of the builder did; kept under `runs/`."""

    rows: int
    rows_lost: int
    seconds: float
    rows_per_second: float
    complete: bool
    made: Made

    @classmethod
    def of(cls, built: Built, made: Made) -> RunFacts:
        """Return the facts about a pass."""
        rate = round(built.rows / built.seconds, 3)
        seconds = round(built.seconds, 3)
        return cls(built.rows, built.rows_lost, seconds, rate, built.complete, made)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain: dict[str, Any] = msgspec.to_builtins(asdict(self))
        return plain


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A cache in numbers, and what this run added; `run` is None where nothing was missing."""

    cache: CacheFacts
    run: RunFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: the cache's, and the run's under `run`."""
        run = {"run": self.run.to_json()} if self.run else {}
        return {**self.cache.to_json(), **run}


def build_cache(
    options: BuildOptions, model: nn.Module | None = None, tokenizer: Any = None
) -> BuildResult | None:
    """Build, continue or extend a cache, and seal it.

    Args:
        model, tokenizer: A teacher in memory, in place of `options.teacher`; see
            `Teacher.from_model` for what it must have.

    Returns:
        The cache in numbers and what this run did; None after a dry run.

    Raises:
        MixkdError: Of a class that names what is wrong; nothing that existed is overwritten.
    """
    given = TeacherInMemory(model, tokenizer, options.teacher or "the teacher") if model else None
    prepared = prepare(options, given)
    target, writer = prepared.target, prepared.writer
    missing = target.missing(writer) if writer else target.rows("originals") + target.pairs
    if writer and not missing:
        present = max((record.stop for record in writer.records("pairs")), default=0)
        asked = "%s holds %d pairs, %d were asked for: nothing to do"
        log.info(asked, target.root, present, target.pairs)
        writer.seal()
        return BuildResult(cache_facts(Cache.open(target.root)))
    teacher, scorer, target = _load(options, prepared)
    log_estimate(target, scorer, missing)
    if options.dry_run:
        return None
    limit = options.time_limit_s
    deadline = time.monotonic() + limit if limit else float("inf")
    scored = None
    if not writer:
        files = _new_files(options, prepared, teacher)
        writer, scored = create(target, scorer, files, _gate(options, prepared))
    built = build(target, scorer, writer, deadline, scored)
    if not built.complete:
        log.info("the time limit came first; the same command continues")
    if built.rows_lost:
        log.info("%d rows were computed by another builder as well", built.rows_lost)
    writer.seal()
    done = RunFacts.of(built, scorer.made)
    _note_run(target.root, done)
    return BuildResult(cache_facts(Cache.open(target.root)), done)


def _load(options: BuildOptions, prepared: Prepared) -> tuple[Teacher, Scorer, Target]:
    """Load and probe the teacher, and decide the number format of its pass.

    Returns:
        The target with what a new header says of that format.
    """
    target, identity = prepared.target, prepared.target.identity
    longest = max(int(rows.lengths.max()) for rows in target.examples.values())
    teacher = prepared.origin.load(
        identity.teacher.columns, identity.mixup.mask, longest, options.device
    )
    train = target.examples["train"]
    teacher.probe(train)
    difference = choose_dtype(teacher, options.dtype, train, identity)
    if not prepared.writer:
        about = {**target.draft.about, "dtype_difference": difference}
        target = replace(target, draft=msgspec.structs.replace(target.draft, about=about))
    return teacher, scorer_of(teacher, options.batch_tokens), target


def _new_files(options: BuildOptions, prepared: Prepared, teacher: Teacher) -> dict[str, bytes]:
    """Make what a new cache gets of its teacher: tokenizer and starting points for students."""
    tokenizer = tokenizer_files(prepared.origin.tokenizer())
    files = {f"tokenizer/{name}": data for name, data in tokenizer.items()}
    for depth in student_depths(teacher.model, options.student_layers):
        for name, data in student_start(teacher.model, depth).items():
            files[f"student_init/{depth}-layers/{name}"] = data
    return files


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
