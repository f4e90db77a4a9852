"""Hostile tokenizers: code, paths to elsewhere, bombs of tokens, and what is no tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.sign import sign, unlist
from tests.hostile.student_registry import (
    MALFORMED,
    MEMORY_BYTES,
    MISSING,
    MODEL,
    TOKENIZER,
    TOKENIZER_CONFIG,
    UNSAFE,
    VOCABULARY,
    Change,
    edit_json,
    put,
    read_json,
    student,
    table,
)

table(
    "tokenizer",
    TOKENIZER_CONFIG,
    {
        "auto_map": ({"auto_map": {"AutoTokenizer": ["bait.Bait", None]}}, (UNSAFE,)),
        "auto_map_list": ({"auto_map": ["bait.Bait", None]}, (UNSAFE,)),
        "auto_map_of_a_repository": ({"auto_map": {"AutoTokenizer": ["a/b--c.C"]}}, (UNSAFE,)),
        "class_unknown": ({"tokenizer_class": "os.system"}, (UNSAFE,)),
        "class_of_bytes": (
            {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 10**7, "pad_token": None},
            (UNSAFE,),
        ),
        "class_of_other_dictionaries": (
            {
                "tokenizer_class": "BertJapaneseTokenizer",
                "word_tokenizer_type": "mecab",
                "mecab_kwargs": {"mecab_option": "-r BAIT"},
            },
            (UNSAFE,),
        ),
        "class_of_speech": (
            {"spm_file": "BAIT", "tokenizer_class": "SpeechT5Tokenizer"},
            (UNSAFE,),
        ),
        "length_negative": ({"model_max_length": -1}, (MALFORMED,)),
        "length_text": ({"model_max_length": "64"}, (MALFORMED,)),
        "side_unknown": ({"padding_side": "up"}, (MALFORMED,)),
        "added_no_table": ({"added_tokens_decoder": {"5": "a"}}, (MALFORMED,)),
        "added_no_number": ({"added_tokens_decoder": {"x": {"content": "a"}}}, (MALFORMED,)),
        "token_of_another_type": (
            {"mask_token": {"__type": "os.system", "content": "[MASK]"}},
            (MALFORMED,),
        ),
        "pad_no_text": ({"pad_token": ["[PAD]"]}, (MALFORMED,)),
    },
)
table(
    "tokenizer",
    TOKENIZER_CONFIG,
    {
        "harmless_added_beyond_32_bits": (
            {"added_tokens_decoder": {str(2**40): {"content": "§"}}},
            (),
        ),
        "harmless_added_key": (
            {"added_tokens_decoder": {"5": {"content": "§", "__class__": "os"}}},
            (),
        ),
        "harmless_special_tokens_elsewhere": ({"special_tokens_map_file": "BAIT"}, ()),
        "harmless_token_as_transformers_writes_it": (
            {"mask_token": {"__type": "AddedToken", "content": "[MASK]", "lstrip": True}},
            (),
        ),
        "harmless_pad": ({"pad_token": "<new>"}, ()),
        "harmless_file": ({"tokenizer_file": "/of/who/made/it/tokenizer.json"}, ()),
        "harmless_file_elsewhere": ({"tokenizer_file": "BAIT"}, ()),
        "harmless_vocabulary_elsewhere": (
            {"vocab_file": "BAIT", "tokenizer_class": "BertTokenizer"},
            (),
        ),
        "harmless_merges_elsewhere": ({"merges_file": "BAIT"}, ()),
        "harmless_files_elsewhere": ({"fast_tokenizer_files": ["BAIT"]}, ()),
        "harmless_gguf_elsewhere": ({"gguf_file": "BAIT"}, ()),
        "harmless_temporary_file": ({"vocab_file": "vocab.txt.tmp-0123456789abcdef"}, ()),
        "harmless_inputs": ({"init_inputs": ["BAIT"]}, ()),
        "harmless_class": ({"tokenizer_class": "BertTokenizerFast"}, ()),
        "harmless_templates": ({"chat_template": {"a" * 300: "{{", "../b": "c"}}, ()),
        "harmless_saving": ({"save_pretrained": 1, "init_kwargs": 5}, ()),
        "harmless_template": ({"chat_template": "{{ cycler.__init__.__globals__ }}"}, ()),
        "harmless_length": ({"model_max_length": int(1e30)}, ()),
        "harmless_name": ({"name_or_path": "BAIT"}, ()),
    },
)

for key, content in {
    "empty": b"",
    "list": b"[]",
    "deep": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "no_json": b"\x80\x04cos\nsystem\n.",
    "not_utf_8": b'{"pad_token": "\xff"}',
}.items():
    student(f"tokenizer_config_{key}", MALFORMED)(put(TOKENIZER_CONFIG, content))

for key, content in {
    "empty": b"",
    "list": b"[]",
    "table": b"{}",
    "deep": b'{"model":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "no_json": b"\x80\x04cos\nsystem\n.",
    "not_utf_8": b'{"model": "\xff"}',
    "surrogate": b'{"model": "\\ud800"}',
}.items():
    student(f"tokenizer_json_{key}", MALFORMED)(put(VOCABULARY, content))


def vocabulary(
    name: str, *errors: str, memory_bytes: int = MEMORY_BYTES
) -> Callable[[Change], Change]:
    """Register a change of tokenizer.json's value."""

    def register(change: Change) -> Change:
        def spoil(root: Path, bait: Path) -> None:
            value = read_json(root, VOCABULARY)
            changed = change(value)
            sign(root, {VOCABULARY: json.dumps(value if changed is None else changed).encode()})

        student(f"tokenizer_json_{name}", *errors, memory_bytes=memory_bytes)(spoil)
        return change

    return register


@vocabulary("ids_beyond_the_model", MODEL)
def ids_beyond_the_model(value: Any) -> None:
    value["model"]["vocab"]["beyond"] = 5000


@vocabulary("ids_beyond_32_bits", MALFORMED)
def ids_beyond_32_bits(value: Any) -> None:
    value["model"]["vocab"]["beyond"] = 2**40


@vocabulary("ids_negative", MALFORMED)
def ids_negative(value: Any) -> None:
    value["model"]["vocab"]["beyond"] = -1


@vocabulary("of_many_words", MODEL, UNSAFE, MALFORMED)
def of_many_words(value: Any) -> None:
    value["model"]["vocab"].update({f"word {number}": 200 + number for number in range(200_000)})


@vocabulary("added_tokens_of_many", UNSAFE, MALFORMED, MODEL)
def added_tokens_of_many(value: Any) -> None:
    value["added_tokens"] += [added(f"<{number}>", 200 + number) for number in range(100_000)]


@vocabulary("added_token_of_a_megabyte", UNSAFE, MALFORMED, MODEL)
def added_token_of_a_megabyte(value: Any) -> None:
    value["added_tokens"].append(added("a" * 10 * 2**20, 200))


@vocabulary("added_tokens_no_list", MALFORMED)
def added_tokens_no_list(value: Any) -> None:
    value["added_tokens"] = {"a": 1}


@vocabulary("added_token_of_nothing", UNSAFE)
def added_token_of_nothing(value: Any) -> None:
    """Where a text begins with spaces, looking for it beside the other one does not end."""
    value["normalizer"] = {"type": "Replace", "pattern": {"String": "q"}, "content": ""}
    for number, content in ((200, "q"), (201, " a")):
        value["added_tokens"].append({**added(content, number), "normalized": True, "lstrip": True})


@vocabulary("model_unknown", MALFORMED)
def model_unknown(value: Any) -> None:
    value["model"]["type"] = "Pickle"


@vocabulary("of_lists", UNSAFE, MALFORMED)
def of_lists(value: Any) -> None:
    value["more"] = [[]] * 2_000_000


def added(content: str, number: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": number, "content": content, **flags}


@student("tokenizer_of_a_newer_version_elsewhere")
def tokenizer_of_a_newer_version_elsewhere(root: Path, bait: Path) -> None:
    """transformers looks for a version in this name, wherever it leads."""
    (bait.parent / "tokenizer.4.0.json").hardlink_to(bait)
    edit_json(root, TOKENIZER_CONFIG, {"fast_tokenizer_files": ["../../tokenizer.4.0.json"]})


@student("tokenizer_special_tokens_map_of_many", MALFORMED)
def tokenizer_special_tokens_map_of_many(root: Path, bait: Path) -> None:
    tokens = [f"<{k}>" for k in range(100_000)]
    content = json.dumps({"extra_special_tokens": tokens}).encode()
    sign(root, {f"{TOKENIZER}/special_tokens_map.json": content})


@student("tokenizer_added_decoder_of_many", UNSAFE, MALFORMED, MODEL)
def tokenizer_added_decoder_of_many(root: Path, bait: Path) -> None:
    tokens = {str(200 + k): {"content": f"<{k}>"} for k in range(100_000)}
    edit_json(root, TOKENIZER_CONFIG, {"added_tokens_decoder": tokens})


@student("tokenizer_special_tokens_of_many", UNSAFE, MALFORMED, MODEL)
def tokenizer_special_tokens_of_many(root: Path, bait: Path) -> None:
    tokens = [f"<{k}>" for k in range(100_000)]
    edit_json(root, TOKENIZER_CONFIG, {"extra_special_tokens": tokens})


@student("tokenizer_without_vocabulary", MALFORMED, MISSING)
def tokenizer_without_vocabulary(root: Path, bait: Path) -> None:
    """transformers makes up a tokenizer that knows no words."""
    (root / VOCABULARY).unlink()
    sign(root, edit_header=unlist(VOCABULARY))
