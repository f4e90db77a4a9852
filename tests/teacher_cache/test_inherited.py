"""What a cache hands on is tried before it is created: its tokenizer, as students will load it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from mixkd.shared.errors import ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.models.encode import encode_texts
from mixkd.shared.models.tokenizer import load_tokenizer, tokenizer_files
from mixkd.teacher_cache.inherited import compare_tokenizer, try_tokenizer
from tests.teacher_cache.loaded import TEXTS, saved


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    return load_tokenizer(saved(tmp_path))


@pytest.fixture
def examples(tokenizer: Any) -> Examples:
    texts = pa.array([first for first, _ in TEXTS])
    ids, types = encode_texts(tokenizer, texts, None, 32)
    return Examples(ids, types, pa.array([0] * len(texts)).to_numpy(), texts)


def test_a_tokenizer_that_students_can_use_is_not_mentioned(
    tokenizer: Any, examples: Examples, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        try_tokenizer("mine", tokenizer_files(tokenizer), "bert", examples, 32)
        try_tokenizer("mine", tokenizer_files(tokenizer), None, examples, 32)
    assert caplog.messages == []


def test_a_tokenizer_that_reads_differently_once_saved_is_refused(
    tokenizer: Any, examples: Examples
) -> None:
    files = tokenizer_files(tokenizer)
    definition = json.loads(files["tokenizer.json"])
    vocabulary = definition["model"]["vocab"]
    (first,), (second,) = tokenizer.tokenize("was"), tokenizer.tokenize("dull")
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    files["tokenizer.json"] = json.dumps(definition).encode()
    with pytest.raises(ModelError, match="mine: expected a tokenizer that reads texts the same"):
        try_tokenizer("mine", files, "bert", examples, 32)


def test_what_students_would_refuse_is_logged(
    tokenizer: Any, examples: Examples, caplog: pytest.LogCaptureFixture
) -> None:
    files = tokenizer_files(tokenizer)
    try_tokenizer("mine", files, "camembert", examples, 32)
    assert caplog.messages == [
        "mine: its students need train-student --allow-model-type camembert: its type is not a "
        "tested one"
    ]
    caplog.clear()
    definition = json.loads(files["tokenizer.json"])
    pattern = {"type": "Split", "pattern": {"Regex": "(a+)+b"}, "behavior": "Isolated"}
    definition["pre_tokenizer"] = {**pattern, "invert": False}
    files["tokenizer.json"] = json.dumps(definition).encode()
    try_tokenizer("mine", files, "bert", examples, 32)
    (message,) = caplog.messages
    assert message.startswith("train-student will refuse this cache: mine/tokenizer.json: expected")


def test_settings_that_students_leave_out_make_no_difference(tokenizer: Any) -> None:
    """Tokenizers on the Hub note how they were once called."""
    tokenizer.init_kwargs |= {"stride": 0, "truncation_strategy": "longest_first", "never_split": 1}
    files = tokenizer_files(tokenizer)
    assert b"truncation_strategy" in files["tokenizer_config.json"]
    cache: Any = SimpleNamespace(root="cache", tokenizer_files=lambda: files)
    assert list(compare_tokenizer(cache, tokenizer)) == []
    tokenizer.model_max_length = 7
    (finding,) = compare_tokenizer(cache, tokenizer)
    assert finding.claim == "tokenizer"
    assert "cache/tokenizer/tokenizer_config.json: expected the teacher's" in finding.message
