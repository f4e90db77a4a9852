"""`cache-teacher verify`: every claim of a cache, as far as what is at hand can tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.cache.claims import Finding, Level, Reported, Unchecked, Verified
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import look
from mixkd.shared.errors import MalformedError, MixkdError
from mixkd.shared.models.locate import locate
from mixkd.shared.models.reencode import check_texts, sample_rows
from mixkd.shared.options import check_count
from mixkd.teacher_cache.against_teacher import compare_with_teacher
from mixkd.teacher_cache.data.load import DataSpec, load
from mixkd.teacher_cache.inherited import cache_tokenizer
from mixkd.teacher_cache.origin import SavedTeacher, TeacherOrigin

ROWS = 200


def verify_claims(
    root: str | Path,
    deep: bool = False,
    *,
    teacher: str | TeacherOrigin | None = None,
    rows: int = ROWS,
    device: str = "auto",
    data: DataSpec | None = None,
    allow_model_type: Collection[str] = (),
) -> Verified:
    """Check every claim of a cache that can be checked with what is given.

    Args:
        deep: Draw the plan of every pair and tokenise every text, not samples of them.
        teacher: Hub id, folder or a loaded teacher: compare all that the cache says of it.
        rows: How many random rows the teacher scores again.
        device: For the teacher.
        data: What the cache was made from: compare texts and labels.
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
    origin = SavedTeacher(locate(teacher)) if isinstance(teacher, str) else teacher
    reported = list(look(root, deep))
    wrong = {item.claim for item in reported if isinstance(item, Finding) and not item.harmless}
    cache = _opened(root)
    if cache is None or wrong & {"files", "rows"}:
        unread = Unchecked("texts", "what is wrong comes first")
        return Verified.of([*reported, unread], asked, {"verify"})
    reported += texts(cache, deep, allow_model_type)
    if origin:
        reported += compare_with_teacher(cache, origin, rows, device, allow_model_type)
    if data:
        reported += labels(cache, data)
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


def labels(cache: Cache, spec: DataSpec) -> Iterator[Reported]:
    """Look for each stored text with its label in the data, whatever part of it was used."""
    if any(cache.examples(split).text_a is None for split in cache.splits):
        yield Unchecked("labels", "the cache was built with --no-text")
        return
    data = load(replace(spec, label_names=cache.identity.label_names))
    known = {
        labelled
        for split in data.splits.values()
        for labelled in _labelled(split.text_a, split.text_b, split.labels)
    }
    for split in cache.splits:
        examples = cache.examples(split)
        stored = list(_labelled(_texts(examples.text_a), _texts(examples.text_b), examples.labels))
        wrong = [row for row, labelled in enumerate(stored) if labelled not in known]
        if wrong:
            yield Finding(
                "labels",
                f"{cache.root}/examples/{split}.arrow: expected texts and labels of the data, "
                f"found {len(wrong)} others, the first in row {wrong[0]}; do not use this cache, "
                "or name the data that it was made from",
            )


def _texts(column: pa.Array | None) -> list[str] | None:
    return None if column is None else column.to_pylist()


def _labelled(
    text_a: Sequence[str] | None, text_b: Sequence[str] | None, numbers: npt.NDArray[Any]
) -> Iterator[tuple[str | None, str | None, float]]:
    absent = [None] * len(numbers)
    return zip(text_a or absent, text_b or absent, numbers.tolist(), strict=True)
