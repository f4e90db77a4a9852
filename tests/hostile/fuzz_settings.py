"""Changes of a tokenizer that its types have a place for: steps, tokens, classes, flags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from mixkd.shared.models.untrusted_tokenizer import TOKENIZER_CLASSES
from tests.hostile import fuzz_json, fuzz_tokenizers
from tests.hostile.fuzz_steps import RARE, word
from tests.hostile.student_registry import TOKENIZER, TOKENIZER_CONFIG, VOCABULARY

Files = Mapping[str, bytes]
NAMED = (
    *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
)
FLAGS = (
    *("clean_up_tokenization_spaces", "do_lower_case", "strip_accents", "keep_accents"),
    *("tokenize_chinese_chars", "add_prefix_space", "trim_offsets", "split_by_punct"),
)
CHOICES: dict[str, tuple[Any, ...]] = {
    "model_max_length": (1, 2, 3, 64, 512, 2**31, 2**63, 10**30),
    "model_input_names": ([], ["input_ids"], ["attention_mask"], ["input_ids", "a"], ["a"] * 16),
    "padding_side": ("left", "right"),
    "truncation_side": ("left", "right"),
    "errors": ("strict", "replace", "ignore", "no such"),
}
OF_TOKEN = ("single_word", "lstrip", "rstrip", "normalized", "special")


def token(random: Random, known: list[str]) -> Any:
    """A token as a text or as an object, mostly one that the vocabulary has."""
    content = random.choice(known) if random.random() < 0.6 else word(random)
    if random.random() < 0.4:
        return content
    kind = {"__type": "AddedToken"} if random.random() < 0.8 else {}
    return {"content": content, **kind, **{flag: random.random() < 0.4 for flag in OF_TOKEN}}


def settings(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """Special tokens as texts and objects, added tokens against those of tokenizer.json, flags."""
    known = sorted(fuzz_tokenizers.words(json.loads(files[VOCABULARY])))
    name = random.choice(
        (TOKENIZER_CONFIG, TOKENIZER_CONFIG, f"{TOKENIZER}/special_tokens_map.json")
    )
    value = json.loads(files.get(name, b"{}"))
    changes: dict[str, Any] = {}
    for _ in range(random.choice((1, 2, 3, 6))):
        changes.update(_change(random, known))
    value |= changes
    return {name: fuzz_json.spelled(value)}, f"{name}: {changes}"[:600]


def _change(random: Random, known: list[str]) -> dict[str, Any]:
    kind = random.randrange(6)
    count = random.choice((0, 1, 2, 5, 300))
    if kind <= 1:
        return {random.choice(NAMED): token(random, known)}
    if kind == 2:
        key = random.choice(("additional_special_tokens", "extra_special_tokens"))
        return {key: [token(random, known) for _ in range(count)]}
    if kind == 3:
        named = {f"{random.choice(NAMED)}{n or ''}": token(random, known) for n in range(count)}
        return {"extra_special_tokens": named}
    if kind == 4:
        return {"added_tokens_decoder": added(random, known, count)}
    if random.random() < 0.4:
        return {random.choice(FLAGS): random.random() < 0.5}
    key = random.choice(sorted(CHOICES))
    return {key: random.choice(CHOICES[key])}


def added(random: Random, known: list[str], count: int) -> dict[str, Any]:
    """Id -> token, where few ids are those that tokenizer.json has for the token."""
    tokens: dict[str, Any] = {}
    for number in range(count):
        key = random.choice((number, len(known) + number, 159, 160, 2**31, 2**32))
        if random.random() < RARE:
            key = random.choice((-1, "x", "1e3", "\u0663", 2**64, "0x1"))
        one = token(random, known)
        tokens[str(key)] = one if isinstance(one, dict) else {"content": one}
    return tokens


def other_class(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """Another allowed class for the tokenizer, at times with a model of another class's kind."""
    value = json.loads(files[TOKENIZER_CONFIG])
    value["tokenizer_class"] = random.choice(TOKENIZER_CLASSES) + random.choice(("", "Fast"))
    said = [f"tokenizer_class {value['tokenizer_class']}"]
    changed = {TOKENIZER_CONFIG: fuzz_json.spelled(value)}
    if random.random() < 0.7:
        edited = json.loads(files[VOCABULARY])
        said.append(fuzz_tokenizers.other_model(random, edited))
        if random.random() < 0.3:
            said.append(fuzz_tokenizers.other_steps(random, edited))
        changed[VOCABULARY] = json.dumps(edited).encode()
    return changed, "; ".join(said)


def definition(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """Structured edits of tokenizer.json."""
    value = json.loads(files[VOCABULARY])
    steps = fuzz_tokenizers.edited(random, value)
    return {VOCABULARY: json.dumps(value).encode()}, steps


def steps(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """Whole trees of steps in tokenizer.json."""
    value = json.loads(files[VOCABULARY])
    said = fuzz_tokenizers.other_steps(random, value)
    return {VOCABULARY: json.dumps(value).encode()}, said
