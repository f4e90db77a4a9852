"""A student's own tokenizer: texts are encoded once if it is not the cache's."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DataError
from mixkd.shared.examples import Examples
from mixkd.shared.models.encode import TYPES, encode_texts
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.reencode import check_texts
from mixkd.shared.models.tokenizer import has_tokenizer, load_strangers_tokenizer, same_tokenizer

log = logging.getLogger(__name__)


def tokenizer_and_examples(
    cache: Cache,
    files: ModelFiles,
    own: bool,
    tokens: int,
    model_type: str,
    allowed: Collection[str] = (),
    max_length: int | None = None,
) -> tuple[Any, dict[str, Examples]]:
    """Load the student's tokenizer, and the examples in its ids: the cache's if they are the same.

    Args:
        files: The student's.
        own: Whether the student may have a tokenizer of its own.
        tokens: How many the student has embeddings for.
        model_type: The student's.
        allowed: Types of models whose tokenizers may be used beside those of the tested ones.
        max_length: Tokens of an example, at most; None is the cache's.

    Raises:
        DataError: If the texts are needed, and the cache was made without.
    """
    splits = [split.name for split in cache.identity.splits]
    stored = {split: cache.examples(split) for split in splits}
    largest = max(int(split.input_ids.flat.max()) for split in stored.values())
    caches = ModelFiles(str(cache.root / "tokenizer"), cache.tokenizer_files())
    tokenizer = load_strangers_tokenizer(caches, max(tokens, largest + 1), allowed=allowed)
    for split, examples in stored.items():
        where = cache.root / f"examples/{split}.arrow"
        check_texts(where, examples, tokenizer, cache.identity.max_length)
    limit = max_length or cache.identity.max_length
    if not own or not has_tokenizer(files.contents):
        return tokenizer, _cut(tokenizer, stored, limit)
    students = load_strangers_tokenizer(files, tokens, model_type, allowed)
    if same_tokenizer(students, tokenizer):
        if TYPES not in students.model_input_names:
            stored = {s: replace(rows, token_type_ids=None) for s, rows in stored.items()}
            return students, _cut(students, stored, limit)
        if stored["train"].token_type_ids is not None:
            return students, _cut(students, stored, limit)
    maximum = min(limit, students.model_max_length)
    encoded = {split: _encode(students, stored[split], maximum, split) for split in splits}
    count = sum(map(len, encoded.values()))
    log.info("the student's own tokenizer is not the cache's: %s texts encoded once", f"{count:,}")
    return students, encoded


def _cut(tokenizer: Any, stored: dict[str, Examples], limit: int) -> dict[str, Examples]:
    """Encode the texts of splits with too long examples again, as the tokenizer cuts them."""

    def cut(split: str, rows: Examples) -> Examples:
        if int(rows.lengths.max()) <= limit:
            return rows
        shorter = _encode(tokenizer, rows, limit, split)
        return replace(shorter, token_type_ids=None) if rows.token_type_ids is None else shorter

    return {split: cut(split, rows) for split, rows in stored.items()}


def _encode(tokenizer: Any, examples: Examples, max_length: int, split: str) -> Examples:
    """Encode a split's texts with another tokenizer."""
    if examples.text_a is None:
        raise DataError(
            f"examples/{split}.arrow",
            expected="texts, to encode with the student's own tokenizer or a smaller --max-length",
            found="none: the cache was made with --no-text",
            do="use the cache's tokenizer and length, or build the cache with texts",
        )
    ids, types = encode_texts(tokenizer, examples.text_a, examples.text_b, max_length)
    return replace(examples, input_ids=ids, token_type_ids=types)
