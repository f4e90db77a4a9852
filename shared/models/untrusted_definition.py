"""Check a `tokenizer.json`: its steps, its model, its tokens, before a library parses it.

Refused is what could cost more than it weighs: patterns that backtrack, texts that grow from step
to step, tables that are not there.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

import msgspec

from mixkd.shared.errors import MalformedError
from mixkd.shared.json_values import decode
from mixkd.shared.models.untrusted import unsafe

LISTED_TOKENS = 4096
# What the tested families search for, in a time that grows with the text, not with its square.
EXPRESSIONS = (r" {2,}", r" +", r"\s+", r"\s", r"\s{2,}|[\n\r\t]")
# Of one character of a text, after its longest normalisation.
NORMALISED_BYTES = 64
MOST_STEPS = 32
# Steps after which a text may be longer. Two of a kind, one after the other, multiply.
UNICODE_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
GROWING = (
    *((step,) for step in ("BertNormalizer", "ByteLevel", "Lowercase", "Metaspace", "Precompiled")),
    UNICODE_FORMS,
)

Few = Annotated[list[Any], msgspec.Meta(max_length=16)]
Short = Annotated[str, msgspec.Meta(max_length=16)]
Piece = Annotated[str, msgspec.Meta(max_length=128)]


class Token(msgspec.Struct, omit_defaults=True):
    """A token with its properties."""

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = False
    # Without it, transformers takes an object among the settings for no token.
    tag: Literal["AddedToken"] | None = msgspec.field(name="__type", default=None)


class Pattern(msgspec.Struct):
    """What is searched for: a text, or a regular expression."""

    String: str | None = None
    Regex: str | None = None


class Inserted(msgspec.Struct):
    """A special token of a template."""

    ids: Few


class Step(msgspec.Struct):
    """A normaliser, a splitter of texts or a processor of tokens."""

    type: Literal[
        # normalisers
        "BertNormalizer",
        "Lowercase",
        "NFC",
        "NFD",
        "NFKC",
        "NFKD",
        "Nmt",
        "Precompiled",
        "Prepend",
        "Replace",
        "Strip",
        "StripAccents",
        # splitters
        "BertPreTokenizer",
        "CharDelimiterSplit",
        "Digits",
        "Metaspace",
        "Punctuation",
        "Split",
        "UnicodeScripts",
        "Whitespace",
        "WhitespaceSplit",
        # processors
        "BertProcessing",
        "RobertaProcessing",
        "TemplateProcessing",
        # more than one of these
        "ByteLevel",
        "Sequence",
    ]
    normalizers: Annotated[list[Step], msgspec.Meta(max_length=16)] = []
    pretokenizers: Annotated[list[Step], msgspec.Meta(max_length=16)] = []
    processors: Annotated[list[Step], msgspec.Meta(max_length=16)] = []
    pattern: Pattern | None = None
    content: Short = ""
    prepend: Short = ""
    replacement: Short = ""
    precompiled_charsmap: str | None = None
    single: Few = []
    pair: Few = []
    special_tokens: Annotated[dict[str, Inserted], msgspec.Meta(max_length=16)] = {}


class Model(msgspec.Struct):
    """What finds the tokens of a word.

    WordPiece's search grows with the cube of the longest word, Unigram's with the square of the
    longest token.
    """

    max_input_chars_per_word: Annotated[int, msgspec.Meta(ge=0, le=100)] = 100
    continuing_subword_prefix: Short | None = None
    end_of_word_suffix: Short | None = None
    vocab: list[tuple[Piece, float]] | dict[str, int] = {}


class Definition(msgspec.Struct):
    """`tokenizer.json`, as far as it may cost more than it weighs."""

    model: Model
    added_tokens: Annotated[list[Token], msgspec.Meta(max_length=LISTED_TOKENS)] = []
    normalizer: Step | None = None
    pre_tokenizer: Step | None = None
    post_processor: Step | None = None


def check_definition(data: bytes, where: object) -> None:
    """Refuse a `tokenizer.json` whose steps could take a time or a room that no text explains.

    Raises:
        UnsafeFileError, MalformedError: Naming the step.
    """
    definition = decode(data, Definition, where, len(data))
    of_text = [*_steps(definition.normalizer), *_steps(definition.pre_tokenizer)]
    steps = [*of_text, *_steps(definition.post_processor)]
    if len(steps) > MOST_STEPS:
        raise unsafe(where, f"at most {MOST_STEPS} steps", "more")
    for kinds in GROWING:
        count = sum(step.type in kinds for step in of_text)
        if count > 1:
            raise unsafe(where, f"at most one step {' or '.join(kinds)} for texts", count)
    for step in steps:
        _check_step(step, where)


def check_added_tokens(backend: Any, where: object) -> None:
    """Refuse added tokens that the normaliser turns into nothing, wherever they were listed.

    Nothing is found everywhere in a text: beside other tokens, the search may never end.

    Args:
        backend: A loaded tokenizer of `tokenizers`.

    Raises:
        UnsafeFileError: Naming the token.
    """
    if backend.normalizer is None:
        return
    for number, token in backend.get_added_tokens_decoder().items():
        if token.normalized and not backend.normalizer.normalize_str(token.content):
            raise unsafe(where, f"added token {number} to be a text once normalised", "nothing")


def _steps(first: Step | None) -> list[Step]:
    """List a step and all below it, or more than may be."""
    found = [] if first is None else [first]
    for step in found:
        found += [*step.normalizers, *step.pretokenizers, *step.processors]
        if len(found) > MOST_STEPS:
            break
    return found


def _check_step(step: Step, where: object) -> None:
    pattern = step.pattern or Pattern()
    if pattern.Regex is not None and pattern.Regex not in EXPRESSIONS:
        expected = f"regular expressions to be among {', '.join(EXPRESSIONS)}"
        raise unsafe(where, expected, pattern.Regex[:80])
    if step.type == "Replace":
        # An empty text is found between any two characters.
        longest = len(pattern.String or "") if pattern.Regex is None else 1
        if len(step.content) > longest:
            expected = f"a replacement of at most {longest} characters for its pattern"
            raise unsafe(where, expected, f"{len(step.content)}")
    if step.precompiled_charsmap is not None:
        _check_charsmap(step.precompiled_charsmap, where)


def _check_charsmap(encoded: str, where: object) -> None:
    """Bound what a table asks for and what one character becomes.

    The size of the table in bytes, the table of 32-bit numbers, texts that end in 0.
    """
    try:
        data = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise MalformedError(
            where, expected="a charsmap in base64", found="something else", do="use another model"
        ) from None
    size = int.from_bytes(data[:4], "little")
    if size % 4 or not 4 <= size <= len(data) - 4:  # it is allocated before it is read
        raise MalformedError(
            where,
            expected="a charsmap that is as long as it says",
            found=f"{len(data)} bytes, of which {size} in its table",
            do="use another model",
        )
    texts = data[4 + size :]
    longest = max(map(len, texts.split(b"\0")))
    if longest > NORMALISED_BYTES:
        expected = f"normalisations of at most {NORMALISED_BYTES} bytes"
        raise unsafe(where, expected, f"{longest} bytes")
