"""The last level of trust: the teacher itself, compared with all that a cache says of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from mixkd.shared.arrays import Logits
from mixkd.shared.cache.claims import Finding, Reported, Unchecked, claims_of
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.rerun import rerun
from mixkd.shared.errors import LogitsError, ModelError
from mixkd.shared.metrics import REGRESSION
from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.checkpoint import label_names
from mixkd.shared.models.model import check_ids
from mixkd.shared.options import DTYPES, Dtype
from mixkd.teacher_cache.inherited import compare_starts, compare_tokenizer
from mixkd.teacher_cache.labels import are_named, implied_columns
from mixkd.teacher_cache.origin import TeacherOrigin
from mixkd.teacher_cache.scorer import choose_dtype
from mixkd.teacher_cache.teacher import Teacher

LOW_PRECISION_FACTOR = 4


def compare_with_teacher(
    cache: Cache, origin: TeacherOrigin, rows: int, device: str, allowed: Collection[str] = ()
) -> Iterator[Reported]:
    """Compare digest, label order, tokenizer, starts, and the logits of random rows.

    Nothing that the cache says of its number format is believed: how far a lower format may be from
    float32 is measured again, on the batches that a build measures it on.

    Args:
        allowed: Types of models whose tokenizers may be used beside those of the tested ones.

    Raises:
        MixkdError: Of a class that says why the teacher cannot be loaded or run.
    """
    identity = cache.identity
    sha256 = origin.sha256()
    if sha256 != identity.teacher.sha256:
        yield Finding(
            "teacher",
            f"{origin.name}: expected the teacher {identity.teacher.sha256[:12]}, "
            f"found {sha256[:12]}; name the one the cache was made with",
        )
        for claim in claims_of("--teacher"):
            if claim != "teacher":
                yield Unchecked(claim, "the teacher is a different one")
        return
    yield from _label_order(cache, origin)
    longest = max(int(cache.examples(split).lengths.max()) for split in cache.splits)
    teacher = origin.load(identity.teacher.columns, identity.mixup.mask, longest, device)
    yield from compare_tokenizer(cache, origin.tokenizer(), allowed)
    yield from compare_starts(cache, teacher.model)
    yield from _logits(cache, origin, teacher, rows)


def _label_order(cache: Cache, origin: TeacherOrigin) -> Iterator[Reported]:
    """Compare the order of the cache's label names with the one in the teacher's config."""
    identity = cache.identity
    if identity.problem_type == REGRESSION:
        return
    names = label_names(origin.config())
    for what, given in (("the teacher's labels", names), ("the cache's", identity.label_names)):
        if not are_named(given):
            yield Unchecked("label_order", f"{what} have numbers for names")
            return
    columns = identity.teacher.columns
    if implied_columns(names, identity.label_names) == columns:
        return
    expected = ", ".join(names[column] for column in columns if column < len(names))
    other = sorted(names) != sorted(identity.label_names)
    yield Finding(
        "label_order",
        f"{cache.root}: expected the teacher's labels {expected}, found "
        f"{', '.join(identity.label_names)}; one of the two names them wrongly",
        harmless=other and implied_columns(names, identity.label_names) is None,
    )


def _logits(cache: Cache, origin: TeacherOrigin, teacher: Teacher, rows: int) -> Iterator[Reported]:
    examples = [cache.examples(split) for split in cache.splits]
    try:
        check_ids(cache.root, teacher.embeddings, examples, do="do not use this cache")
    except ModelError as error:
        yield Finding("logits", str(error))
        return
    recorded = {record.made.dtype for record in cache.seal.shards}
    differences: dict[str, float] = {}
    for dtype in DTYPES:
        if dtype in recorded:
            try:
                differences[dtype] = choose_dtype(
                    replace(teacher), dtype, cache.examples("train"), cache.identity
                )
            except LogitsError as error:
                yield Finding("dtype", f"{cache.root}: {error}")
                return

    def score(batch: MixBatch, dtype: Dtype) -> Logits:
        return replace(teacher, dtype=dtype).score(batch)  # [B, C]

    allowed = {dtype: LOW_PRECISION_FACTOR * found for dtype, found in differences.items()}
    yield from rerun(cache, score, teacher.pad_id, rows, allowed)
    yield from _about(cache, origin, max(differences.values(), default=0.0))
    count = cache.seal.rows.originals + cache.seal.rows.pairs
    if rows < count:
        some = f"{rows} of {count} rows were scored again; more with --rows"
        yield Unchecked("logits", some, partly=True)


def _about(cache: Cache, origin: TeacherOrigin, difference: float) -> Iterator[Finding]:
    """Compare the description with what is known of the teacher: it decides nothing."""
    where = f"{cache.root}/cache.json, about"
    for name, value in origin.about.items():
        if cache.about.get(name, value) != value:
            yield Finding("about", f"{where}: expected {name} {value}, found another", True)
    stated = cache.about.get("dtype_difference", difference)
    likely = isinstance(stated, int | float) and (
        difference / LOW_PRECISION_FACTOR - 1e-3
        <= stated
        <= difference * LOW_PRECISION_FACTOR + 1e-3
    )
    if not likely:
        expected = f"a dtype_difference near {difference:.2g}"
        yield Finding("about", f"{where}: expected {expected}, found another", True)
