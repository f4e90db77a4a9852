"""Hostile steps of a tokenizer.json: texts that grow, searches that go back, tables of nothing."""

from __future__ import annotations

import base64
from typing import Any

from tests.hostile.make_students_tokenizer import added, vocabulary
from tests.hostile.student_registry import MALFORMED, UNSAFE


@vocabulary("normalizers_nested", UNSAFE, MALFORMED)
def normalizers_nested(value: Any) -> Any:
    for _ in range(120):
        value["normalizer"] = {"type": "Sequence", "normalizers": [value["normalizer"]]}
    return value


@vocabulary("regex_broken", UNSAFE)
def regex_broken(value: Any) -> None:
    value["normalizer"] = {"type": "Replace", "pattern": {"Regex": "(" * 1000}, "content": ""}


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


@vocabulary("regex_that_backtracks", UNSAFE)
def regex_that_backtracks(value: Any) -> None:
    value["normalizer"] = replace({"Regex": "(a+)+b"}, "")


@vocabulary("regex_that_backtracks_at_loading", UNSAFE)
def regex_that_backtracks_at_loading(value: Any) -> None:
    """The normaliser is run over each added token that says so."""
    value["normalizer"] = replace({"Regex": "(a|a)+b"}, "")
    value["added_tokens"].append({**added("a" * 100, 200), "normalized": True})


@vocabulary("regex_that_splits", UNSAFE)
def regex_that_splits(value: Any) -> None:
    split = {"type": "Split", "pattern": {"Regex": ".*.*.*x"}, "behavior": "Isolated"}
    value["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{**split, "invert": False}]}


@vocabulary("replacements_that_grow", UNSAFE)
def replacements_that_grow(value: Any) -> None:
    steps = [replace({"String": "a"}, "aa") for _ in range(16)]
    value["normalizer"] = {"type": "Sequence", "normalizers": steps}


@vocabulary("replacement_long", MALFORMED)
def replacement_long(value: Any) -> None:
    value["normalizer"] = replace({"String": "a"}, "a" * 10**6)


def charsmap(table: bytes, texts: bytes, size: int | None = None) -> dict[str, Any]:
    """Give a step with a table that says that it has `size` bytes, by default its own."""
    claimed = (len(table) if size is None else size).to_bytes(4, "little")
    encoded = base64.b64encode(claimed + table + texts).decode()
    return {"type": "Precompiled", "precompiled_charsmap": encoded}


@vocabulary("charsmap_of_many_bytes_that_are_not_there", MALFORMED)
def charsmap_of_many_bytes_that_are_not_there(value: Any) -> None:
    """They are allocated before they are read, and the process ends where they cannot be."""
    value["normalizer"] = charsmap(bytes(8), b"", size=2**32 - 4)


@vocabulary("charsmap_of_one_byte_too_many", MALFORMED)
def charsmap_of_one_byte_too_many(value: Any) -> None:
    value["normalizer"] = charsmap(bytes(8), b"", size=9)


@vocabulary("charsmap_without_a_table", MALFORMED)
def charsmap_without_a_table(value: Any) -> None:
    value["normalizer"] = charsmap(b"", b"a\0")


@vocabulary("charsmap_whose_table_leads_nowhere", MALFORMED)
def charsmap_whose_table_leads_nowhere(value: Any) -> None:
    """Rust panics where a text is normalised: here, an added token."""
    value["normalizer"] = charsmap(b"\xff" * 1024, b"a\0")
    value["added_tokens"].append({**added("ab", 59), "normalized": True})


@vocabulary("charsmap_that_grows", UNSAFE)
def charsmap_that_grows(value: Any) -> None:
    value["normalizer"] = charsmap(bytes(4), b"a" * 1000 + b"\0")


@vocabulary("of_steps_of_steps", UNSAFE)
def of_steps_of_steps(value: Any) -> None:
    step: dict[str, Any] = {"type": "Lowercase"}
    for _ in range(4):
        step = {"type": "Sequence", "normalizers": [step] * 16}
    value["normalizer"] = step


@vocabulary("of_long_pieces", MALFORMED)
def of_long_pieces(value: Any) -> None:
    """Unigram looks for each of them at each letter."""
    pieces = [[word, 0.0] for word in value["model"]["vocab"]]
    pieces[-50:] = [["a" * 20 * number, -float(number)] for number in range(50)]
    value["model"] = {"type": "Unigram", "unk_id": 1, "vocab": pieces}


@vocabulary("words_without_end", MALFORMED)
def words_without_end(value: Any) -> None:
    value["model"]["max_input_chars_per_word"] = 10**9


@vocabulary("template_that_repeats", MALFORMED)
def template_that_repeats(value: Any) -> None:
    piece = {"Sequence": {"id": "A", "type_id": 0}}
    value["post_processor"]["single"] = [piece] * 10_000


@vocabulary("step_unknown", MALFORMED)
def step_unknown(value: Any) -> None:
    value["pre_tokenizer"] = {"type": "Script", "code": "os.system"}


@vocabulary("bytes_of_bytes", UNSAFE)
def bytes_of_bytes(value: Any) -> None:
    """A byte beyond ASCII becomes a character of two bytes, and each of these again."""
    value["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "ByteLevel"}] * 16}


@vocabulary("bytes_of_bytes_of_splits", UNSAFE)
def bytes_of_bytes_of_splits(value: Any) -> None:
    flags = {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    steps = [{"type": "ByteLevel", **flags}] * 16
    value["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}


@vocabulary("charsmaps_of_charsmaps", UNSAFE)
def charsmaps_of_charsmaps(value: Any) -> None:
    steps = [charsmap(bytes(1024), b"a" * 64 + b"\0")] * 5
    value["normalizer"] = {"type": "Sequence", "normalizers": steps}


@vocabulary("forms_of_forms", UNSAFE)
def forms_of_forms(value: Any) -> None:
    """One character becomes eighteen, five of which become it again."""
    steps = [replace({"String": "\u0644"}, "\ufdfa"), {"type": "NFKD"}] * 8
    value["normalizer"] = {"type": "Sequence", "normalizers": steps}


@vocabulary("replacements_of_nothing", UNSAFE)
def replacements_of_nothing(value: Any) -> None:
    """Nothing is found between any two characters."""
    steps = [replace({"String": ""}, "a")] * 16
    value["normalizer"] = {"type": "Sequence", "normalizers": steps}


@vocabulary("prefix_of_a_megabyte", MALFORMED)
def prefix_of_a_megabyte(value: Any) -> None:
    """It is copied for each part of each word."""
    value["model"]["continuing_subword_prefix"] = "#" * 2**20


@vocabulary("template_of_a_million_tokens", MALFORMED)
def template_of_a_million_tokens(value: Any) -> None:
    _repeat(value, pieces=16, ids=1000)


@vocabulary("template_as_long_as_it_may_be", MALFORMED)
def template_as_long_as_it_may_be(value: Any) -> None:
    """It is loaded; 256 tokens of its own are not the stored ids of any text."""
    _repeat(value, pieces=16, ids=16)


def _repeat(value: Any, pieces: int, ids: int) -> None:
    special = {"id": "s", "ids": [1] * ids, "tokens": ["[UNK]"] * ids}
    value["post_processor"]["special_tokens"]["s"] = special
    value["post_processor"]["single"] = [{"SpecialToken": {"id": "s", "type_id": 0}}] * pieces
