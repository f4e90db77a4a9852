"""`cache-teacher verify`: every claim of a cache, as far as what is at hand can tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from mixkd.shared.cache.claims import (
    Claim,
    Finding,
    Level,
    Reported,
    Unchecked,
    Verified,
    claims_of,
)
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import look
from mixkd.shared.errors import MalformedError, MixkdError
from mixkd.shared.models.locate import locate
from mixkd.shared.models.reencode import check_texts, sample_rows
from mixkd.shared.options import check, check_count
from mixkd.shared.progress import now
from mixkd.teacher_cache.against_data import compare_with_data
from mixkd.teacher_cache.against_teacher import compare_with_teacher
from mixkd.teacher_cache.data.load import DataSpec
from mixkd.teacher_cache.data.logits import LogitsSpec
from mixkd.teacher_cache.inherited import cache_tokenizer
from mixkd.teacher_cache.origin import SavedTeacher, TeacherOrigin

ROWS = 200
NO_TEACHER = "the logits were given: no teacher is here to compare with"
BY_EITHER: tuple[Claim, ...] = ("logits", "teacher")  # checked by the teacher, or where given, data


def verify_claims(
    root: str | Path,
    deep: bool = False,
    *,
    teacher: str | TeacherOrigin | None = None,
    rows: int = ROWS,
    device: str = "auto",
    data: DataSpec | None = None,
    logits: LogitsSpec | None = None,
    allow_model_type: Collection[str] = (),
) -> Verified:
    """Check every claim of a cache that can be checked with what is given.

    Args:
        deep: Draw the plan of every pair and tokenise every text, not samples of them.
        teacher: Hub id, folder or a loaded teacher: compare all that the cache says of it.
        rows: How many random rows the teacher scores again.
        device: For the teacher.
        data: What the cache was made from: compare texts and labels.
        logits: Where in it the logits are, for a cache of given ones: compare them too.
        allow_model_type: Types of models whose tokenizers may be loaded beside the tested ones.

    Raises:
        MissingFileError: If there is no such folder.
        MixkdError: Of a class that says why teacher or data cannot be used.
    """
    check_count("rows", rows, 1, "200 are usual")
    asked: set[Level] = {"verify"}
    asked |= {"--deep"} if deep else set()
    asked |= {"--teacher"} if teacher else set()
    asked |= {"--data"} if data else set()
    no_data = "name the table that the cache was made from with --data"
    check("--logits-column", "no --data", data is not None or logits is None, "--data", no_data)
    origin = SavedTeacher(locate(teacher)) if isinstance(teacher, str) else teacher
    reported = list(look(root, deep))
    wrong = {item.claim for item in reported if isinstance(item, Finding) and not item.harmless}
    cache = _opened(root)
    if cache is None or wrong & {"files", "rows"}:
        unread = Unchecked("texts", "what is wrong comes first")
        return Verified.of([*reported, unread], asked, {"verify"})
    reported += texts(cache, deep, allow_model_type)
    if cache.identity.teacher.source == "logits":
        needed = "needs --data and --logits-column"
        teachers = [claim for claim in claims_of("--teacher") if claim not in BY_EITHER]
        reported += [Unchecked(claim, NO_TEACHER) for claim in teachers]
        reported.append(Unchecked("dtype", NO_TEACHER, partly=True))
    else:
        needed = "needs --teacher"
        none = "none, since a model gave this cache's logits"
        check("--logits-column", logits and logits.named, not logits, none, "leave it out")
    if origin and cache.identity.teacher.source == "model":
        now("comparing with the teacher")
        reported += compare_with_teacher(cache, origin, rows, device, allow_model_type)
    elif not logits:
        reported += [Unchecked(claim, needed) for claim in BY_EITHER]
    if data:
        now("comparing with the data")
        reported += compare_with_data(cache, data, logits)
    return Verified.of(reported, asked, asked)


def _opened(root: str | Path) -> Cache | None:
    try:
        return Cache.open(root)
    except MixkdError:
        return None  # which is a finding already


def texts(cache: Cache, deep: bool, allowed: Collection[str] = ()) -> Iterator[Reported]:
    """Tokenise the stored texts, or a sample of them, and compare the ids."""
    splits = {split: cache.examples(split) for split in cache.splits}
    if all(examples.text_a is None for examples in splits.values()):
        yield Unchecked("texts", "the cache was built with --no-text")
        return
    try:
        tokenizer = cache_tokenizer(cache, allowed)
    except MixkdError as error:
        yield Finding("tokenizer", str(error))
        yield Unchecked("texts", "the tokenizer cannot be loaded")
        return
    taken, count = 0, 0
    for split, examples in splits.items():
        count += len(examples)
        if examples.text_a is None:
            continue
        rows = np.arange(len(examples)) if deep else sample_rows(examples)
        taken += len(rows)
        where = cache.root / f"examples/{split}.arrow"
        try:
            check_texts(where, examples, tokenizer, cache.identity.max_length, rows)
        except MalformedError as error:
            yield Finding("texts", str(error))
    if taken < count:
        some = f"{taken} of {count} texts were tokenised; more with --deep"
        yield Unchecked("texts", some, partly=taken > 0)
