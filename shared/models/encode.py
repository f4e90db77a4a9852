"""Tokenise texts: once, truncated, not padded. Teachers and students call one function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mixkd.shared.examples import Growing, Ragged

ROWS_AT_ONCE = 1024
TYPES = "token_type_ids"


def encode_texts(
    tokenizer: Any, text_a: pa.Array, text_b: pa.Array | None, max_length: int
) -> tuple[Ragged, Ragged | None]:
    """Tokenise the texts of a split, special tokens included.

    Args:
        tokenizer: Of `transformers`.
        text_b: The second text of each example, where examples are pairs.
        max_length: Tokens of the longest example; of a pair, the longer text is cut first.

    Returns:
        int32 ids, and int8 token types where the tokenizer names them as an input of its model.
    """
    with_types = TYPES in tokenizer.model_input_names
    columns = [column for column in (text_a, text_b) if column is not None]
    ids, types = Growing(np.int32), Growing(np.int8)
    for start in range(0, len(text_a), ROWS_AT_ONCE):
        encoded = tokenizer(
            *(column.slice(start, ROWS_AT_ONCE).to_pylist() for column in columns),
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=with_types,
        )
        ids.add(encoded["input_ids"])  # [T] each
        if with_types:
            types.add(encoded[TYPES])  # [T] each
    return ids.ragged(), types.ragged() if with_types else None
