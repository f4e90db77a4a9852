"""Compare stored ids with what a tokenizer makes of the stored texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mixkd.shared.arrays import Indices
from mixkd.shared.errors import MalformedError
from mixkd.shared.examples import Examples
from mixkd.shared.models.encode import encode_texts
from mixkd.shared.models.quietly import named_errors

ROWS = 256
# A sample leaves out longer texts: tokenising them costs time and memory, and they are cut anyway.
LONGEST_SAMPLED_BYTES = 20_000
DIFFERENT = "do not use this cache: its texts, ids and tokenizer do not belong together"


def sample_rows(examples: Examples, rows: int = ROWS) -> Indices:
    """Choose examples at random whose texts are not extremely long, int64 [at most `rows`]."""
    sizes = np.zeros(len(examples), np.int64)  # [n], bytes
    for texts in (examples.text_a, examples.text_b):
        if texts is not None:
            sizes += pa.compute.binary_length(texts).to_numpy().astype(np.int64)
    usual = np.flatnonzero(sizes <= LONGEST_SAMPLED_BYTES)
    number = min(rows, len(usual))
    return np.sort(np.random.default_rng().choice(usual, number, replace=False))


def check_texts(
    where: object,
    examples: Examples,
    tokenizer: Any,
    max_length: int,
    rows: Indices | None = None,
) -> None:
    """Refuse examples whose ids or types are not the tokenizer's for their texts.

    Args:
        where: The examples' file, for the message.
        examples: Without texts, nothing is compared.
        tokenizer: Of `transformers`; it may be a stranger's.
        max_length: Tokens of the longest example.
        rows: The examples to look at, int64 [n]; None is a random sample.

    Raises:
        MalformedError: Naming the first one that differs.
    """
    if examples.text_a is None:
        return
    rows = sample_rows(examples) if rows is None else rows
    if not len(rows):
        return
    chosen = pa.array(rows)
    text_a = examples.text_a.take(chosen)
    text_b = None if examples.text_b is None else examples.text_b.take(chosen)
    with named_errors(
        MalformedError, where, expected="texts that the cache's tokenizer encodes", do=DIFFERENT
    ):
        ids, types = encode_texts(tokenizer, text_a, text_b, max_length)
    stored_types = examples.token_type_ids
    if (types is None) != (stored_types is None):
        raise _different(where, "token types in both or in neither", "them in one")
    for position, row in enumerate(rows):
        same = np.array_equal(ids[position], examples.input_ids[row])
        if types is not None and stored_types is not None:
            same = same and np.array_equal(types[position], stored_types[row])
        if not same:
            raise _different(where, f"the tokens of text {row}", "different ids or types")


def _different(where: object, expected: str, found: str) -> MalformedError:
    expected = f"{expected}, as the cache's tokenizer makes them"
    return MalformedError(where, expected=expected, found=found, do=DIFFERENT)
