"""A student's own tokenizer: texts are encoded once if it gives other ids than the cache's."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DataError
from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.models.files import quiet
from mixkd.shared.models.untrusted_tokenizer import check_tokenizer
from mixkd.student_train.loading import as_malformed

log = logging.getLogger(__name__)
ENCODE_ROWS = 1024
# Without one of these, transformers makes up a tokenizer that knows no words.
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def tokenizer_and_examples(
    cache: Cache, folder: Path, own: bool, tokens: int
) -> tuple[Any, dict[str, Examples]]:
    """The student's tokenizer, and the examples in its ids: the cache's if these are the same.

    Args:
        own: Whether the folder may have a tokenizer of its own.
        tokens: That the student has embeddings for.
    """
    splits = [split.name for split in cache.identity.splits]
    stored = {split: cache.examples(split) for split in splits}
    tokenizer = load_tokenizer(cache.tokenizer_folder(), max(tokens, largest_id(stored) + 1))
    if not own or not any(file for pattern in VOCABULARIES for file in folder.glob(pattern)):
        return tokenizer, stored
    students = load_tokenizer(folder, tokens)
    types = "token_type_ids" in students.model_input_names
    if same_tokenizer(students, tokenizer):
        if not types:
            return students, {s: replace(rows, token_type_ids=None) for s, rows in stored.items()}
        if stored["train"].token_type_ids is not None:
            return students, stored
    maximum = min(cache.identity.max_length, students.model_max_length)
    encoded = {split: encode(students, stored[split], maximum, split) for split in splits}
    if all(same_ids(encoded[split], stored[split]) for split in splits):
        return students, encoded
    log.info(
        "the student's own tokenizer gives other ids than the cache's: %s texts encoded once",
        f"{sum(map(len, encoded.values())):,}",
    )
    return students, encoded


def largest_id(examples: Mapping[str, Examples]) -> int:
    return max(int(split.input_ids.flat.max()) for split in examples.values())


def load_tokenizer(folder: Path, tokens: int) -> Any:
    """A tokenizer of about so many tokens from a local folder, without foreign code."""
    from transformers import AutoTokenizer

    check_tokenizer(folder, tokens)
    with as_malformed(folder), quiet():
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def same_tokenizer(left: Any, right: Any) -> bool:
    """Whether two fast tokenizers are the same but for their padding and truncation."""
    content = _content(left)
    return content is not None and content == _content(right)


def encode(tokenizer: Any, examples: Examples, max_length: int, split: str) -> Examples:
    """A split's texts with another tokenizer; token types only where the tokenizer names them.

    Raises:
        DataError: If the cache was made without texts.
    """
    if examples.text_a is None:
        raise DataError(
            f"examples/{split}.arrow",
            expected="texts, to encode with the student's own tokenizer",
            found="none: the cache was made with --no-text",
            do="use a student with the cache's tokenizer, or build the cache with texts",
        )
    types = "token_type_ids" in tokenizer.model_input_names
    ids: list[np.ndarray[Any, Any]] = []
    type_ids: list[np.ndarray[Any, Any]] = []
    for texts in _chunks(examples):
        encoded = tokenizer(
            *texts, truncation=True, max_length=max_length, return_token_type_ids=types
        )
        ids += [np.asarray(row, np.int32) for row in encoded["input_ids"]]
        if types:
            type_ids += [np.asarray(row, np.int8) for row in encoded["token_type_ids"]]
    return Examples(
        input_ids=Ragged.from_rows(ids, np.int32),  # type: ignore[arg-type]
        token_type_ids=Ragged.from_rows(type_ids, np.int8) if types else None,  # type: ignore[arg-type]
        labels=examples.labels,
        text_a=examples.text_a,
        text_b=examples.text_b,
    )


def same_ids(left: Examples, right: Examples) -> bool:
    """Whether two encodings of a split are equal: ids, and token types where both have them."""
    return _equal(left.input_ids, right.input_ids) and (
        left.token_type_ids is None
        or right.token_type_ids is None
        or _equal(left.token_type_ids, right.token_type_ids)
    )


def _equal(left: Ragged, right: Ragged) -> bool:
    return np.array_equal(left.offsets, right.offsets) and np.array_equal(left.flat, right.flat)


def _chunks(examples: Examples) -> Iterator[list[list[str]]]:
    for start in range(0, len(examples), ENCODE_ROWS):
        columns = [text for text in (examples.text_a, examples.text_b) if text is not None]
        yield [column.slice(start, ENCODE_ROWS).to_pylist() for column in columns]


def _content(tokenizer: Any) -> str | None:
    """The tokenizer's whole definition as JSON text; None for one that has no fast version."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_padding()
    copy.no_truncation()
    return str(copy.to_str())
