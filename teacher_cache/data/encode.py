"""Turn the texts of a data set's splits into examples."""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa

from mixkd.shared.errors import UsageError
from mixkd.shared.examples import Examples
from mixkd.shared.models.encode import encode_texts
from mixkd.teacher_cache.data.load import Data
from mixkd.teacher_cache.data.splits import TextSplit
from mixkd.teacher_cache.options import MAX_LENGTH

log = logging.getLogger(__name__)


def longest_by_default(tokenizer: Any) -> int:
    """Return the length that examples are cut at, where nobody says otherwise."""
    return int(min(MAX_LENGTH, tokenizer.model_max_length))


def tokenise(
    data: Data, tokenizer: Any, max_length: int, keep_text: bool = True
) -> dict[str, Examples]:
    """Tokenise each split, special tokens included.

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
    text_a, text_b = split.text_a, split.text_b
    ids, types = encode_texts(tokenizer, text_a, text_b, max_length)
    texts = (text_a, text_b) if keep_text else (None, None)
    stored_a, stored_b = texts
    examples = Examples(ids, types, split.labels, stored_a, stored_b, _batch(split.kept))
    lengths = examples.lengths
    log.info(
        "%s: %d examples of %.0f tokens on average, %d of them at the limit of %d",
        *(name, len(examples), lengths.mean(), (lengths == max_length).sum(), max_length),
    )
    return examples


def _batch(kept: pa.Table | None) -> pa.RecordBatch | None:
    """Return a table of one chunk per column as the batch that it is."""
    if kept is None:
        return None
    columns = [column.chunk(0) for column in kept.columns]
    return pa.record_batch(columns, schema=kept.schema)
