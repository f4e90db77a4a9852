"""Stored ids against stored texts: cut at the maximum, pairs, types, samples, odd tokenizers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from transformers import AutoTokenizer

from mixkd.shared.errors import MalformedError
from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.models import reencode
from mixkd.shared.models.encode import encode_texts
from mixkd.shared.models.reencode import check_texts, sample_rows
from tests.miniature import Style, tiny_tokenizer

LONGEST = 12


def encoded(tokenizer: Any, *texts: list[str]) -> Examples:
    columns = [pa.array(column) for column in texts]
    text_b = columns[1] if len(columns) > 1 else None
    ids, types = encode_texts(tokenizer, columns[0], text_b, LONGEST)
    return Examples(ids, types, np.zeros(len(texts[0]), np.int64), columns[0], text_b)


@pytest.mark.parametrize("style", ["bert", "roberta"])
@pytest.mark.parametrize("two", [False, True])
def test_what_was_encoded_is_found_equal_and_every_change_is_not(
    tmp_path: Path, style: Style, two: bool
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer(tmp_path / "t", style))
    texts = [["a dull film", "the story " * 20, ""], ["odd", "bright and warm " * 9, "the"]]
    examples = encoded(tokenizer, *texts[: 1 + two])
    assert examples.lengths.max() == LONGEST
    check_texts("x", examples, tokenizer, LONGEST)
    for row in range(3):
        flat = examples.input_ids.flat.copy()
        flat[examples.input_ids.offsets[row + 1] - 2] += 1
        other = replace(examples, input_ids=Ragged(flat, examples.input_ids.offsets))
        with pytest.raises(MalformedError, match=f"x: expected the tokens of text {row}, as"):
            check_texts("x", other, tokenizer, LONGEST)
    with pytest.raises(MalformedError, match="expected the tokens of text 1"):
        check_texts("x", examples, tokenizer, LONGEST - 1)
    if examples.token_type_ids is not None:
        with pytest.raises(MalformedError, match="expected token types in both or in neither"):
            check_texts("x", replace(examples, token_type_ids=None), tokenizer, LONGEST)
        types = examples.token_type_ids
        other = replace(examples, token_type_ids=Ragged(1 - types.flat, types.offsets))
        with pytest.raises(MalformedError, match="expected the tokens of text 0"):
            check_texts("x", other, tokenizer, LONGEST)


def test_without_texts_nothing_is_compared(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer(tmp_path / "t"))
    bare = replace(encoded(tokenizer, ["a film"]), text_a=None)
    check_texts("x", bare, None, LONGEST)


def test_a_sample_leaves_out_extremely_long_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer(tmp_path / "t"))
    examples = encoded(tokenizer, ["a film", "a " * 50_000, "é" * 15_000, "dull", "odd"])
    assert sample_rows(examples).tolist() == [0, 3, 4]
    assert len(sample_rows(examples, 2)) == 2
    monkeypatch.setattr(reencode, "LONGEST_SAMPLED_BYTES", 1)
    check_texts("x", examples, None, LONGEST)


def test_a_tokenizer_that_raises(tmp_path: Path) -> None:
    def broken(*texts: object, **settings: object) -> None:
        raise OverflowError("out of range")

    broken.model_input_names = ["input_ids"]  # type: ignore[attr-defined]
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer(tmp_path / "t"))
    with pytest.raises(MalformedError, match="encodes, found OverflowError: out of range"):
        check_texts("x", encoded(tokenizer, ["a film"]), broken, LONGEST)
