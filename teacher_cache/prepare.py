"""From options to a target: examples and identity, compared with what the output holds.

All of this is known without the teacher, so that a cache of something else is refused before the
teacher is loaded. A cache that exists can be continued without its data set.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mixkd.shared import publish
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import About, Draft, Header, Identity, Mixup, Split, TeacherIdentity
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import UsageError
from mixkd.shared.examples import Examples
from mixkd.shared.models.locate import locate
from mixkd.shared.output import check_output
from mixkd.shared.plan import PLAN_VERSION
from mixkd.teacher_cache.build import Target
from mixkd.teacher_cache.data.tasks import TASKS
from mixkd.teacher_cache.labels import teacher_columns
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.origin import SavedTeacher, TeacherOrigin

log = logging.getLogger(__name__)
DEFAULTS: dict[str, Any] = {
    "beta": 0.4,
    "mask": "union",
    "seed": 0,
    "max_length": 128,
    "logits_dtype": "float32",
    "format": "arrow",
    "shard_rows": 4096,
}
CACHE_ENTRIES = {
    *("cache.json", "MANIFEST.json", "README.md", "examples", "tokenizer", "student_init"),
    *("data", "commits", "seals", "runs", "quarantine"),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known before the teacher is loaded.

    Attributes:
        writer: The cache in the output; None for a new one.
    """

    origin: TeacherOrigin
    target: Target
    writer: CacheWriter | None


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


def prepare(options: BuildOptions, given: TeacherOrigin | None = None) -> Prepared:
    """Find examples and identity, and compare them with what the output holds.

    Args:
        given: A teacher that is not the one that the options name.

    Raises:
        DifferentCacheError: Naming the fields that differ.
        MixkdError: Of a class that names what is wrong with data, teacher or output.
    """
    writer = _existing(options.root)
    header = writer.header if writer else None
    origin = given or SavedTeacher(locate(_teacher_name(options)))
    config = origin.config()
    if writer:
        writer.check_unchanged()
    if writer and header and not options.names_data:
        log.info("continuing %s: examples and settings are those of the cache", options.root)
        content = _stored(writer.folder, header)
    else:
        content = _read(options, origin, header)
    columns = teacher_columns(
        origin.name,
        config,
        content.problem_type,
        content.label_names,
        _teacher_labels(options, header),
    )
    draft = _draft(options, header, content, origin.sha256(), columns)
    if writer:
        writer.check_same(draft)
        draft = writer.header
    draft.check(options.root, options.pairs)
    target = Target(options.root, draft, content.examples, options.pairs)
    return Prepared(origin, target, writer)


def _existing(root: Path) -> CacheWriter | None:
    entries = check_output(
        root,
        lambda name: name in CACHE_ENTRIES or publish.is_temporary(name),
        expected="a new or empty folder, or a cache",
    )
    return CacheWriter.open(root) if "cache.json" in entries else None


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
    )


def _read(options: BuildOptions, origin: TeacherOrigin, header: Header | None) -> Content:
    from mixkd.teacher_cache.data.encode import tokenise
    from mixkd.teacher_cache.data.load import load

    data = load(options.data_spec)
    tokenizer = origin.tokenizer()
    max_length = _setting(options, "max_length", header)
    if options.max_length is None and header is None:
        max_length = min(max_length, tokenizer.model_max_length)
    return Content(
        examples=tokenise(data, tokenizer, max_length, options.text),
        texts_sha256=data.texts_sha256(),
        problem_type=data.problem_type,
        label_names=data.label_names,
        max_length=max_length,
        metric=data.metric,
        about={**data.about, **origin.about},
    )


def _draft(
    options: BuildOptions,
    header: Header | None,
    content: Content,
    sha256: str,
    columns: Sequence[int],
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
                texts_sha256=content.texts_sha256[name],
                ids_sha256=rows.ids_sha256(),
            )
            for name, rows in content.examples.items()
        ),
        teacher=TeacherIdentity(sha256=sha256, columns=tuple(columns)),
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
    )


def _teacher_name(options: BuildOptions) -> str:
    if options.teacher:
        return options.teacher
    if options.task in TASKS:
        return TASKS[options.task].teacher
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
    if options.teacher is None and options.task in TASKS:
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
