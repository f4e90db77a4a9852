"""Texts become ids: tokenised once, truncated, not padded."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from mixkd.shared.errors import UsageError
from mixkd.shared.examples import Examples, Ragged
from mixkd.teacher_cache.data.load import Data
from mixkd.teacher_cache.data.splits import TextSplit

log = logging.getLogger(__name__)
ROWS_AT_ONCE = 1024
TYPES = "token_type_ids"


def tokenise(
    data: Data, tokenizer: Any, max_length: int, keep_text: bool = True
) -> dict[str, Examples]:
    """Examples of each split, special tokens included.

    Args:
        tokenizer: Of `transformers`. Token types are kept only where it names them as an input.
        max_length: Tokens of the longest example; of a pair, the longer text is cut first.

    Raises:
        UsageError: If the tokenizer allows no examples of that length.
    """
    smallest = 1 + tokenizer.num_special_tokens_to_add(pair=True)
    if not smallest <= max_length <= tokenizer.model_max_length:
        raise UsageError(
            "--max-length",
            expected=f"from {smallest} to {tokenizer.model_max_length}, as the tokenizer allows",
            found=max_length,
            do="choose another length",
        )
    return {
        name: _examples(split, name, tokenizer, max_length, keep_text)
        for name, split in data.splits.items()
    }


def _examples(
    split: TextSplit, name: str, tokenizer: Any, max_length: int, keep_text: bool
) -> Examples:
    with_types = TYPES in tokenizer.model_input_names
    ids: list[list[int]] = []
    types: list[list[int]] = []
    for start in range(0, len(split), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        encoded = tokenizer(
            split.text_a[rows],
            None if split.text_b is None else split.text_b[rows],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=with_types,
        )
        ids += encoded["input_ids"]
        types += encoded[TYPES] if with_types else []
    examples = Examples(
        Ragged.from_rows(ids, np.int32),
        Ragged.from_rows(types, np.int8) if with_types else None,
        split.labels,
        *(_texts(split) if keep_text else ()),
    )
    lengths = examples.lengths
    log.info(
        "%s: %d examples of %.0f tokens on average, %d of them at the limit of %d",
        *(name, len(examples), lengths.mean(), (lengths == max_length).sum(), max_length),
    )
    return examples


def _texts(split: TextSplit) -> tuple[Any, ...]:
    import pyarrow as pa

    columns = (split.text_a, split.text_b)
    return tuple(None if column is None else pa.array(column, pa.string()) for column in columns)
