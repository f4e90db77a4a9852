"""Structured edits of a tokenizer.json that keep it a tokenizer: other parts, other words.

Bytes changed at random end in a parser's error. These are what a parser takes, and what tokenising
may then make slow, large or wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.hostile.fuzz_steps import PARTS, SIZES, TEXTS, word

Edit = Callable[[Random, dict[str, Any]], str]


def other_part(random: Random, value: dict[str, Any]) -> str:
    """Another normalizer, pre-tokenizer, post-processor or decoder."""
    return _in_place(random, value, random.choice(sorted(PARTS)))


def added_part(random: Random, value: dict[str, Any]) -> str:
    """A part beside the one that is there."""
    name = random.choice(("normalizer", "pre_tokenizer"))
    key = "normalizers" if name == "normalizer" else "pretokenizers"
    parts = [part for part in (value.get(name), PARTS[name](random)) if part]
    random.shuffle(parts)
    value[name] = {"type": "Sequence", key: parts}
    return f"{name} {str(parts)[:300]}"


def words(value: dict[str, Any]) -> dict[str, int]:
    """The vocabulary: word -> id."""
    vocab = value["model"]["vocab"]
    if isinstance(vocab, dict):
        return dict(vocab)
    return {word: number for number, (word, _) in enumerate(vocab)}


def swap_words(random: Random, value: dict[str, Any]) -> str:
    vocab = value["model"]["vocab"]
    first, second = random.sample(sorted(words(value)), 2)
    if isinstance(vocab, dict):
        vocab[first], vocab[second] = vocab[second], vocab[first]
    else:
        one, two = words(value)[first], words(value)[second]
        vocab[one], vocab[two] = vocab[two], vocab[one]
    return f"{first!r} and {second!r} exchanged"


def other_model(random: Random, value: dict[str, Any]) -> str:
    """The same words in a model of another type, with its options at their ends."""
    known = words(value)
    listed = [[word, -float(number)] for word, number in sorted(known.items(), key=lambda w: w[1])]
    pieces = [word for word in known if len(word) == 2]
    merges = [[word[0], word[1]] for word in pieces if word[0] in known and word[1] in known]
    unknown = random.choice((*sorted(known)[:3], "absent", None))
    longest = random.choice((1, 100, random.choice(SIZES)))
    affixes = {
        name: random.choice((None, word(random)))
        for name in ("continuing_subword_prefix", "end_of_word_suffix")
    }
    flags = {name: random.random() < 0.5 for name in ("fuse_unk", "byte_fallback", "ignore_merges")}
    model: dict[str, Any] = random.choice(
        (
            {"type": "WordLevel", "vocab": known, "unk_token": unknown or "absent"},
            {
                "type": "WordPiece",
                "vocab": known,
                "unk_token": unknown or "absent",
                "continuing_subword_prefix": word(random),
                "max_input_chars_per_word": longest,
            },
            {
                "type": "BPE",
                "vocab": known,
                "merges": merges,
                "dropout": random.choice((None, 0.0, 0.5, 1.0, 2.0)),
                "unk_token": unknown,
                **affixes,
                **flags,
            },
            {
                "type": "Unigram",
                "vocab": listed,
                "unk_id": random.choice((None, 0, len(listed) - 1, len(listed), 2**31)),
                "byte_fallback": random.random() < 0.5,
            },
        )
    )
    value["model"] = model
    return f"a model of type {model['type']}"


def model_option(random: Random, value: dict[str, Any]) -> str:
    """One option of the model that is there."""
    key = random.choice(sorted(set(value["model"]) - {"vocab", "merges", "type"}) or ["unk_token"])
    value["model"][key] = random.choice((None, True, 0.5, *SIZES, word(random), word(random)))
    return f"the model's {key} {str(value['model'][key])[:80]}"


def longest_word(random: Random, value: dict[str, Any]) -> str:
    value["model"]["max_input_chars_per_word"] = random.choice((0, 1, 2, 99, 100, *SIZES))
    return f"max_input_chars_per_word {value['model']['max_input_chars_per_word']}"


def added_tokens(random: Random, value: dict[str, Any]) -> str:
    """Tokens that every text holds, none does, or that are there already."""
    known = words(value)
    contents = (*TEXTS, *random.sample(sorted(known), 3), *(f"<{n}>" for n in range(200)))
    count = random.choice((1, 1, 3, 200))
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    added = [
        {
            "id": random.choice((0, 5, len(known) - 1, len(known) + number, 2**20, 2**32 - 1)),
            "content": random.choice(contents),
            **{flag: random.random() < 0.4 for flag in flags},
        }
        for number in range(count)
    ]
    value["added_tokens"] = [*value.get("added_tokens", []), *added]
    return f"{count} added tokens, {added[0]}"[:300]


def truncation(random: Random, value: dict[str, Any]) -> str:
    value["truncation"] = {
        "direction": random.choice(("Left", "Right")),
        "max_length": random.choice(SIZES),
        "strategy": random.choice(("LongestFirst", "OnlyFirst", "OnlySecond")),
        "stride": random.choice(SIZES),
    }
    return f"truncation {value['truncation']}"


def padding(random: Random, value: dict[str, Any]) -> str:
    value["padding"] = {
        "strategy": random.choice(("BatchLongest", {"Fixed": random.choice(SIZES)})),
        "direction": random.choice(("Left", "Right")),
        "pad_to_multiple_of": random.choice((None, *SIZES)),
        "pad_id": random.choice((0, 1, 2**31, 2**32 - 1)),
        "pad_type_id": random.choice((0, 1, 2**32 - 1)),
        "pad_token": random.choice(TEXTS),
    }
    return f"padding {value['padding']}"[:300]


EDITS: tuple[Edit, ...] = (
    *(other_part, other_part, added_part, added_part, swap_words, other_model, other_model),
    *(model_option,),
    *(longest_word, added_tokens, truncation, padding),
)


def edited(random: Random, value: dict[str, Any]) -> str:
    """Edit a tokenizer.json's value in place, and say how."""
    return "; ".join(
        random.choice(EDITS)(random, value) for _ in range(random.choice((1, 1, 2, 3)))
    )


def other_steps(random: Random, value: dict[str, Any]) -> str:
    """Other trees of steps in all of their places, and nothing else."""
    return "; ".join(_in_place(random, value, name) for name in sorted(PARTS))


def _in_place(random: Random, value: dict[str, Any], name: str) -> str:
    value[name] = PARTS[name](random)
    return f"{name} {str(value[name])[:300]}"
