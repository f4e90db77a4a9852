"""Trees of a tokenizer's steps, most of them of allowed types and within the bounds.

What is refused for its type ends in the decoder. These are what reaches the bounds behind it, and
the library, and what tokenising may then make slow, large or wrong.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random
from typing import Any

from mixkd.shared.models.untrusted_definition import EXPRESSIONS

SIZES = (0, 1, 2, 7, 100, 10_000, 2**20, 2**31, 2**32, 2**53, 2**62, 2**63)
# Some never end on "aaaa…" in an engine that goes back, some match nothing, some are no patterns.
PATTERNS = (
    *("", ".", "a", " ", r"\s+", r"\p{L}+|\p{N}+", "^", "$", r"\b", "(?=a)", r"(?<=\w)", "[^a]*"),
    *("(a+)+$", "(a|aa)+$", "(a|a)*b", "(.*a){20}$", "((a*)*)*b", r"(\w+\s?)*$", "(a?){50}a{50}"),
    *("(a{1000}){1000}", "a{100000}", "((((a{30}){30}){30}){30})", "(" * 100 + "a" + ")" * 100),
    *(r"(a)\1", "(?i)x", "(?x) a", "[a-z&&[^b]]", r"\G", r"\K", "(?R)", "(?<n>a)", "(", "["),
)  # fmt: skip
SHORT = ("", " ", "a", "e", "##", "\u2581", "\0", "[CLS]", "\ufdfa", "\u0644", "\u4e2d", "\u0130")
TEXTS = (*SHORT, "\ud83d", "a" * 16, "a" * 17, "a" * 1000, "x" * 100_000)
FORMS = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
IDS = (0, 1, 2, 5, 58, 159, 160, 10**6, 2**31, 2**32 - 1)
RARE = 0.04
Part = dict[str, Any] | None


def word(random: Random) -> str:
    """A short text, rarely one beyond the bounds."""
    return random.choice(TEXTS if random.random() < RARE else SHORT)


def pattern(random: Random) -> dict[str, str]:
    if random.random() < RARE:
        return {"Regex": random.choice(PATTERNS)}
    if random.random() < 0.4:
        return {"String": word(random)}
    return {"Regex": random.choice(EXPRESSIONS)}


def normalizer(random: Random, levels: int = 2) -> Part:
    flags = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    searched = pattern(random)
    longest = len(searched.get("String", "a"))
    content = word(random)
    return random.choice(
        (
            None,
            {"type": random.choice(FORMS)},
            {"type": random.choice(FORMS)},
            {"type": "Strip", "strip_left": random.random() < 0.5, "strip_right": True},
            {"type": "Prepend", "prepend": word(random)},
            {
                "type": "Replace",
                "pattern": searched,
                "content": content if random.random() < 0.3 else content[:longest],
            },
            {"type": "Precompiled", "precompiled_charsmap": charsmap(random)},
            {"type": "BertNormalizer", **{flag: random.random() < 0.5 for flag in flags}},
            several(random, "normalizers", normalizer, levels),
        )
    )


def charsmap(random: Random) -> str:
    """A table behind its size; sometimes with wrong numbers in it, rarely with a wrong size."""
    texts = random.choice(
        (b"a\0", b"\xc3\xa9\0b\0", b"b" * 63 + b"\0a\0", b"\xef\xb7\xba\0\0a", b"")
    )
    numbers = table(random, len(texts))
    if random.random() < 0.5:
        for _ in range(random.choice((1, 3, 100))):
            numbers[random.randrange(len(numbers))] = random.getrandbits(random.choice((8, 16, 32)))
    if random.random() < 0.1:
        del numbers[random.choice((0, 1, 2, 256, 300)) :]
    data = b"".join(number.to_bytes(4, "little") for number in numbers)
    size = len(data)
    if random.random() < RARE:
        size = random.choice((0, 3, size - 1, size + 1, size + 4, 2**31, 2**32 - 1))
    return base64.b64encode(max(0, size).to_bytes(4, "little") + data + texts).decode()


def table(random: Random, size: int) -> list[int]:
    """A double array, as sentencepiece has it: a few letters, each with the place of its text.

    A node of a letter has the letter in its lowest byte, bit 8 if a text belongs to it, and from
    bit 10 on what leads to the next node: here, 768 on, to the place.
    """
    numbers = [0] * 1024
    numbers[0] = 256 << 10
    for letter in random.sample(range(1, 128), 20) + [ord(each) for each in "ae "]:
        numbers[256 ^ letter] = letter | 1 << 8 | 768 << 10
        numbers[256 ^ letter ^ 768] = random.randrange(size + 1)
    return numbers


def several(random: Random, key: str, part: Callable[[Random, int], Part], levels: int) -> Part:
    """A sequence of parts, some of them sequences again."""
    if not levels:
        return {"type": "Sequence", key: []}
    parts = [part(random, levels - 1) for _ in range(random.choice((0, 1, 2, 2, 3, 3, 4, 16, 20)))]
    return {"type": "Sequence", key: [one for one in parts if one is not None]}


def pre_tokenizer(random: Random, levels: int = 2) -> Part:
    rare = {"type": "FixedLength", "length": random.choice(SIZES)}
    if random.random() < RARE:
        return rare
    return random.choice(
        (
            None,
            {"type": random.choice(("Whitespace", "WhitespaceSplit", "BertPreTokenizer"))},
            {"type": "UnicodeScripts"},
            {"type": "Punctuation", "behavior": random.choice(BEHAVIORS)},
            {"type": "Digits", "individual_digits": random.random() < 0.5},
            {"type": "CharDelimiterSplit", "delimiter": random.choice("ae\0\u2581")},
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
    return {
        "type": "Metaspace",
        "replacement": random.choice(("\u2581", "a", "_", " ")),
        "prepend_scheme": random.choice(("always", "never", "first")),
        "split": random.random() < 0.5,
    }


def post_processor(random: Random, levels: int = 1) -> Part:
    ends = {"sep": ("[SEP]", random.choice(IDS)), "cls": ("[CLS]", random.choice(IDS))}
    spaces = {"trim_offsets": random.random() < 0.5, "add_prefix_space": random.random() < 0.5}
    return random.choice(
        (
            None,
            byte_level(random),
            {"type": "BertProcessing", **ends},
            {"type": "RobertaProcessing", **ends, **spaces},
            template(random),
            template(random),
            several(random, "processors", post_processor, levels),
        )
    )


def template(random: Random) -> dict[str, Any]:
    """Up to 16 pieces of up to 16 ids, rarely more."""
    many = random.choice((1, 2, 5, 8, 16, 17 if random.random() < RARE else 3))
    special = {"SpecialToken": {"id": "s", "type_id": random.choice((0, 1, 2, 300))}}
    text = {"Sequence": {"id": random.choice("AB"), "type_id": random.choice((0, 1, 200))}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    ids = [random.choice(IDS) for _ in range(many)]
    names = ["s"] * random.choice((many, many, many, many - 1))
    return {
        "type": "TemplateProcessing",
        "single": random.choice(
            ([first], [special] * many, [first, special] * (many // 2), [text])
        ),
        "pair": random.choice(([text, text], [special, text] * (many // 2), [first, text])),
        "special_tokens": {"s": {"id": "s", "ids": ids, "tokens": names}},
    }


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
            {
                "type": "Replace",
                "pattern": {"Regex": random.choice(PATTERNS)},
                "content": random.choice(TEXTS),
            },
            several(random, "decoders", decoder, levels),
        )
    )


PARTS: dict[str, Callable[[Random], Part]] = {
    "normalizer": normalizer,
    "pre_tokenizer": pre_tokenizer,
    "post_processor": post_processor,
    "decoder": decoder,
}
