"""From options to a target: examples and identity, compared with what the output holds.

All of this is known without the teacher, so that a cache of something else is refused before the
teacher is loaded. A cache that exists can be continued without its data set.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from mixkd.shared import publish
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import About, Draft, Header, Identity, Mixup, Split, TeacherIdentity
from mixkd.shared.cache.kept import KeptColumn, kept_columns
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import UsageError
from mixkd.shared.examples import Examples
from mixkd.shared.models.locate import Checkpoint, locate
from mixkd.shared.output import check_output
from mixkd.shared.plan import PLAN_VERSION
from mixkd.shared.progress import now
from mixkd.teacher_cache.build import Target
from mixkd.teacher_cache.data.logits import GivenLogits
from mixkd.teacher_cache.data.tasks import TASKS
from mixkd.teacher_cache.given import GivenOrigin, GivenScorer
from mixkd.teacher_cache.known_teacher import known_teacher
from mixkd.teacher_cache.labels import class_names, teacher_columns
from mixkd.teacher_cache.options import MAX_LENGTH, NO_PAIRS, BuildOptions
from mixkd.teacher_cache.origin import SavedTeacher, TeacherOrigin

log = logging.getLogger(__name__)
DEFAULTS: dict[str, Any] = {
    "beta": 0.4,
    "mask": "union",
    "seed": 0,
    "max_length": MAX_LENGTH,
    "logits_dtype": "float32",
    "format": "arrow",
    "shard_rows": 4096,
}
CACHE_ENTRIES = {
    *("cache.json", "MANIFEST.json", "README.md", "examples", "columns", "tokenizer"),
    *("student_init", "data", "commits", "seals", "runs", "quarantine", "rows"),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known before the teacher is loaded.

    Attributes:
        writer: The cache in the output; None for a new one.
        given: The logits, where there is no teacher.
    """

    origin: TeacherOrigin | GivenOrigin
    target: Target
    writer: CacheWriter | None
    given: GivenScorer | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a cache is made from: its examples, and what is said of them."""

    examples: dict[str, Examples]
    texts_sha256: dict[str, str]
    problem_type: str
    label_names: tuple[str, ...]
    max_length: int
    metric: str
    about: About
    columns: tuple[KeptColumn, ...] = ()
    given: GivenLogits = field(default_factory=GivenLogits)


def prepare(options: BuildOptions, given: TeacherOrigin | GivenOrigin | None = None) -> Prepared:
    """Find examples and identity, and compare them with what the output holds.

    Args:
        given: A teacher, or a tokenizer for given logits, that is not the one of the options.

    Raises:
        DifferentCacheError: Naming the fields that differ.
        MixkdError: Of a class that names what is wrong with data, teacher or output.
    """
    now("looking at the output and the teacher's files")
    writer = _existing(options.root)
    header = writer.header if writer else None
    if header and header.identity.teacher.source == "logits" and not options.logits_column:
        raise _no_logits(options)
    origin = given or _origin(options, header)
    config = origin.config()
    if writer:
        writer.check_unchanged()
    if header:
        _check_credits(options, header)
    continues = writer is not None and not options.names_data
    if writer and continues:
        log.info("continuing %s: examples and settings are those of the cache", options.root)
        content = _stored(writer.folder, writer.header)
    else:
        content = _read(options, origin, header)
    classes, scorer = len(content.label_names) or 1, None
    alike = header if header and header.identity.classes == classes else None
    labels = _teacher_labels(options, alike)
    if isinstance(origin, GivenOrigin):
        teacher, scorer = origin.identify(content.given, content.problem_type, classes, labels)
    else:
        columns = teacher_columns(
            origin.name, config, content.problem_type, content.label_names, labels
        )
        teacher = TeacherIdentity(source="model", sha256=origin.sha256(), columns=columns)
        if not continues and not options.label_names:
            names = class_names(content.label_names, config, columns)
            content = replace(content, label_names=names)
    draft = _draft(options, header, content, teacher)
    if writer:
        writer.check_same(draft)
        draft = writer.header
    draft.check(options.root, options.pairs)
    target = Target(options.root, draft, content.examples, options.pairs)
    return Prepared(origin, target, writer, scorer)


def _origin(options: BuildOptions, header: Header | None) -> TeacherOrigin | GivenOrigin:
    spec = options.logits_spec
    if spec:
        return GivenOrigin.of(spec.named, options.tokenizer)
    return SavedTeacher(_checkpoint(options, header))


def _existing(root: Path) -> CacheWriter | None:
    entries = check_output(
        root,
        lambda name: name in CACHE_ENTRIES or publish.is_temporary(name),
        expected="a new or empty folder, or a cache",
    )
    return CacheWriter.open(root) if "cache.json" in entries else None


def _check_credits(options: BuildOptions, header: Header) -> None:
    """Refuse a licence or an author that a cache does not have: its header is never edited."""
    for name, text in options.credits.items():
        if header.about.get(name) != text:
            raise UsageError(
                f"--{name}",
                expected=f"what the cache in {options.root} was built with, or nothing",
                found=text,
                do="leave it out, or build with another --out",
            )


def _stored(folder: CacheFolder, header: Header) -> Content:
    identity = header.identity
    return Content(
        examples=folder.all_examples(identity),
        texts_sha256={split.name: split.texts_sha256 for split in identity.splits},
        problem_type=identity.problem_type,
        label_names=identity.label_names,
        max_length=identity.max_length,
        metric=header.metric,
        about=header.about,
        columns=header.columns,
    )


def _read(
    options: BuildOptions, origin: TeacherOrigin | GivenOrigin, header: Header | None
) -> Content:
    from mixkd.teacher_cache.data.encode import longest_by_default, tokenise
    from mixkd.teacher_cache.data.load import load

    spec = options.data_spec
    if header and options.keep_columns is None:
        spec = replace(spec, keep_columns=tuple(column.name for column in header.columns))
    logits = options.logits_spec
    if logits:
        logits = replace(logits, dtype=_setting(options, "logits_dtype", header))
    now("reading the data")
    data = load(spec, logits)
    kind = {"logits_kind": data.logits_kind} if logits else {}
    now("loading the tokenizer")
    tokenizer = origin.tokenizer()
    now("tokenising the texts")
    max_length = _setting(options, "max_length", header)
    if options.max_length is None and header is None:
        max_length = longest_by_default(tokenizer)
    return Content(
        examples=tokenise(data, tokenizer, max_length, options.text),
        texts_sha256=data.texts_sha256(),
        problem_type=data.problem_type,
        label_names=data.label_names,
        max_length=max_length,
        metric=data.metric,
        about={**data.about, **origin.about, **kind, **options.credits},
        columns=() if (kept := data.splits["train"].kept) is None else kept_columns(kept.schema),
        given=data.given,
    )


def _draft(
    options: BuildOptions,
    header: Header | None,
    content: Content,
    teacher: TeacherIdentity,
) -> Draft:
    def setting(name: str) -> Any:
        return _setting(options, name, header)

    identity = Identity(
        problem_type=cast(Any, content.problem_type),
        label_names=tuple(content.label_names),
        splits=tuple(
            Split(
                name=name,
                rows=len(rows),
                labelled=int(rows.labelled.sum()),
                texts_sha256=content.texts_sha256[name],
                ids_sha256=rows.ids_sha256(),
            )
            for name, rows in content.examples.items()
        ),
        teacher=teacher,
        max_length=content.max_length,
        mixup=Mixup(
            site="input_embeddings",
            beta=float(setting("beta")),
            mask=setting("mask"),
            seed=setting("seed"),
            partners="random",
            plan=PLAN_VERSION,
        ),
        logits_dtype=setting("logits_dtype"),
    )
    return Draft(
        identity=identity,
        shard_rows=setting("shard_rows"),
        shard_format=setting("format"),
        metric=content.metric,
        about=content.about,
        columns=content.columns,
    )


def _no_logits(options: BuildOptions) -> UsageError:
    if options.pairs:
        return UsageError(
            "--pairs",
            expected=f"0 for {options.root}, whose logits were given: {NO_PAIRS}",
            found=options.pairs,
            do="build a cache with a teacher for pairs, or train from this one with --method kd",
        )
    return UsageError(
        "--logits-column",
        expected=f"the logits that {options.root} was made from",
        found="none",
        do="give --data, --logits-column and --tokenizer again, or seal what is complete with: "
        "cache-teacher seal",
    )


def _checkpoint(options: BuildOptions, header: Header | None) -> Checkpoint:
    """Locate the teacher that was named, else the cache's, else the task's published one."""
    if options.teacher:
        return locate(str(options.teacher))
    if header:
        return known_teacher(options.root, header)
    if options.task in TASKS:
        return locate(TASKS[options.task].teacher)
    raise UsageError(
        "--teacher",
        expected=f"a fine-tuned model for the task {options.task}",
        found="none",
        do="name a folder or a Hub id, or make one with: cache-teacher finetune",
    )


def _teacher_labels(options: BuildOptions, header: Header | None) -> tuple[int, ...] | None:
    """Take what was asked for, else what the cache has, else the default teacher's order."""
    if options.teacher_labels is not None:
        return options.teacher_labels
    if header:
        return header.identity.teacher.columns
    if not options.teacher and not options.logits_column and options.task in TASKS:
        return TASKS[options.task].teacher_labels
    return None


def _setting(options: BuildOptions, name: str, header: Header | None) -> Any:
    """Take an option's value: as asked for, else as in the cache, else the default."""
    asked = getattr(options, name)
    if asked is not None:
        return asked
    if header is None:
        return DEFAULTS[name]
    stored = {"format": header.shard_format, "shard_rows": header.shard_rows}
    if name in stored:
        return stored[name]
    identity = header.identity
    return getattr(identity.mixup if name in Mixup.__struct_fields__ else identity, name)
