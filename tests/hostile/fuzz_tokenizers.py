"""Structured edits of a tokenizer.json that keep it a tokenizer: other parts, other words.

Bytes changed at random end in a parser's error. These are what a parser takes, and what tokenising
may then make slow, large or wrong.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random
from typing import Any

SIZES = (0, 1, 2, 7, 100, 10_000, 2**20, 2**31, 2**32, 2**53, 2**62, 2**63)
# Some never end on "aaaa…" in an engine that goes back, some match nothing, some are no patterns.
PATTERNS = (
    *("", ".", "a", " ", r"\s+", r"\p{L}+|\p{N}+", "^", "$", r"\b", "(?=a)", r"(?<=\w)", "[^a]*"),
    *("(a+)+$", "(a|aa)+$", "(a|a)*b", "(.*a){20}$", "((a*)*)*b", r"(\w+\s?)*$", "(a?){50}a{50}"),
    *("(a{1000}){1000}", "a{100000}", "((((a{30}){30}){30}){30})", "(" * 100 + "a" + ")" * 100),
    *(r"(a)\1", "(?i)x", "(?x) a", "[a-z&&[^b]]", r"\G", r"\K", "(?R)", "(?<n>a)", "(", "["),
)  # fmt: skip
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
TEXTS = ("", " ", "a", "e", "##", "\u2581", "\0", "\ud83d", "[CLS]", "a" * 1000, "x" * 100_000)
Part = dict[str, Any] | None
Edit = Callable[[Random, dict[str, Any]], str]


def pattern(random: Random) -> dict[str, str]:
    return {random.choice(("Regex", "Regex", "String")): random.choice(PATTERNS)}


def normalizer(random: Random, levels: int = 2) -> Part:
    flags = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return random.choice(
        (
            None,
            {"type": random.choice(("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"))},
            {"type": random.choice(("Nmt", "ByteLevel"))},
            {"type": "Strip", "strip_left": random.random() < 0.5, "strip_right": True},
            {"type": "Prepend", "prepend": random.choice(TEXTS)},
            {"type": "Replace", "pattern": pattern(random), "content": random.choice(TEXTS)},
            {"type": "Precompiled", "precompiled_charsmap": charsmap(random)},
            {"type": "BertNormalizer", **{flag: random.random() < 0.5 for flag in flags}},
            several(random, "normalizers", normalizer, levels),
        )
    )


def charsmap(random: Random) -> str:
    data = random.choice((b"", (4).to_bytes(4, "little") + bytes(8), random.randbytes(64)))
    return base64.b64encode(data).decode()


def several(random: Random, key: str, part: Callable[[Random, int], Part], levels: int) -> Part:
    """A sequence of parts, some of them sequences again."""
    if not levels:
        return {"type": "Sequence", key: []}
    parts = [part(random, levels - 1) for _ in range(random.choice((0, 1, 2, 3, 20)))]
    return {"type": "Sequence", key: [one for one in parts if one is not None]}


def pre_tokenizer(random: Random, levels: int = 2) -> Part:
    return random.choice(
        (
            None,
            {"type": random.choice(("Whitespace", "WhitespaceSplit", "BertPreTokenizer"))},
            {"type": "UnicodeScripts"},
            {"type": "Punctuation", "behavior": random.choice(BEHAVIORS)},
            {"type": "Digits", "individual_digits": random.random() < 0.5},
            {"type": "CharDelimiterSplit", "delimiter": random.choice("ae\0\u2581")},
            {"type": "FixedLength", "length": random.choice(SIZES)},
            byte_level(random),
            metaspace(random),
            {
                "type": "Split",
                "pattern": pattern(random),
                "behavior": random.choice(BEHAVIORS),
                "invert": random.random() < 0.3,
            },
            several(random, "pretokenizers", pre_tokenizer, levels),
        )
    )


def byte_level(random: Random) -> dict[str, Any]:
    flags = ("add_prefix_space", "trim_offsets", "use_regex")
    return {"type": "ByteLevel", **{flag: random.random() < 0.5 for flag in flags}}


def metaspace(random: Random) -> dict[str, Any]:
    scheme = random.choice(("always", "never", "first"))
    replacement = random.choice(("\u2581", "a", "_"))
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme}


def post_processor(random: Random, levels: int = 1) -> Part:
    sep, cls = ("[SEP]", random.choice((0, 2, 10**6))), ("[CLS]", random.choice((1, 2**32 - 1)))
    many = random.choice((1, 2, 100, 1000))
    special = {"SpecialToken": {"id": "s", "type_id": random.choice((0, 1, 2, 300))}}
    text = {"Sequence": {"id": random.choice("AB"), "type_id": random.choice((0, 1, 200))}}
    return random.choice(
        (
            None,
            byte_level(random),
            {"type": "BertProcessing", "sep": sep, "cls": cls},
            {
                "type": "RobertaProcessing",
                "sep": sep,
                "cls": cls,
                "trim_offsets": True,
                "add_prefix_space": random.random() < 0.5,
            },
            {
                "type": "TemplateProcessing",
                "single": random.choice(([text], [special] * many, [text, special] * many)),
                "pair": random.choice(([text, text], [special, text] * many)),
                "special_tokens": {"s": {"id": "s", "ids": [1] * many, "tokens": ["s"] * many}},
            },
            several(random, "processors", post_processor, levels),
        )
    )


def decoder(random: Random, levels: int = 1) -> Part:
    return random.choice(
        (
            None,
            byte_level(random),
            metaspace(random),
            {"type": random.choice(("ByteFallback", "Fuse"))},
            {"type": "WordPiece", "prefix": random.choice(TEXTS), "cleanup": True},
            {"type": "BPEDecoder", "suffix": random.choice(TEXTS)},
            {"type": "CTC", "pad_token": "a", "word_delimiter_token": "", "cleanup": True},
            {"type": "Strip", "content": "a", "start": random.choice(SIZES), "stop": 0},
            {"type": "Replace", "pattern": pattern(random), "content": random.choice(TEXTS)},
            several(random, "decoders", decoder, levels),
        )
    )


PARTS: dict[str, Callable[[Random], Part]] = {
    "normalizer": normalizer,
    "pre_tokenizer": pre_tokenizer,
    "post_processor": post_processor,
    "decoder": decoder,
}


def other_part(random: Random, value: dict[str, Any]) -> str:
    """Another normalizer, pre-tokenizer, post-processor or decoder."""
    name = random.choice(sorted(PARTS))
    value[name] = PARTS[name](random)
    return f"{name} {str(value[name])[:300]}"


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
    longest = random.choice(SIZES)
    affixes = {
        name: random.choice((None, *TEXTS))
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
                "continuing_subword_prefix": random.choice(TEXTS),
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
    value["model"][key] = random.choice((None, True, 0.5, *SIZES, *TEXTS))
    return f"the model's {key} {str(value['model'][key])[:80]}"


def longest_word(random: Random, value: dict[str, Any]) -> str:
    value["model"]["max_input_chars_per_word"] = random.choice(SIZES)
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
    *(other_part, other_part, added_part, added_part, swap_words, other_model, model_option),
    *(longest_word, added_tokens, truncation, padding),
)


def edited(random: Random, value: dict[str, Any]) -> str:
    """Edit a tokenizer.json's value in place, and say how."""
    return "; ".join(
        random.choice(EDITS)(random, value) for _ in range(random.choice((1, 1, 2, 3)))
    )
