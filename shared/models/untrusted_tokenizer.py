"""Check a stranger's tokenizer before `transformers` sees it: its class, its settings, its steps.

What its files say is decoded into types. What no type has a place for, such as a path or a chat
template, never reaches a library; what could cost more than it weighs is refused: patterns that
backtrack, replacements that grow, and more than the tokens of its model explain.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec

from mixkd.shared.errors import MalformedError, UnsafeFileError
from mixkd.shared.json_values import decode
from mixkd.shared.models.config import ALLOW
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.untrusted import unsafe

# XLM-R's tokenizer.json has 68 bytes per token, Gemma's 130.
BYTES_PER_TOKEN = 512
BASE_BYTES = 2 * 2**20
LISTED_TOKENS = 4096
# Of the tested types of models, and the two names of the class that tokenizer.json alone defines.
TOKENIZER_CLASSES = (
    "AlbertTokenizer",
    "BertTokenizer",
    "DebertaV2Tokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "MPNetTokenizer",
    "PreTrainedTokenizer",
    "RobertaTokenizer",
    "TokenizersBackend",
    "XLMRobertaTokenizer",
)
# What the tested families search for, in a time that grows with the text, not with its square.
EXPRESSIONS = (r" {2,}", r" +", r"\s+", r"\s", r"\s{2,}|[\n\r\t]")
# Of one character of a text, after its longest normalisation.
NORMALISED_BYTES = 64
MOST_STEPS = 32

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


AnyToken = str | Token
Tokens = Annotated[list[AnyToken], msgspec.Meta(max_length=LISTED_TOKENS)]
NamedTokens = Annotated[dict[str, AnyToken], msgspec.Meta(max_length=LISTED_TOKENS)]


class SpecialTokens(msgspec.Struct, omit_defaults=True):
    """`special_tokens_map.json`, as far as it is used."""

    bos_token: AnyToken | None = None
    eos_token: AnyToken | None = None
    unk_token: AnyToken | None = None
    sep_token: AnyToken | None = None
    pad_token: AnyToken | None = None
    cls_token: AnyToken | None = None
    mask_token: AnyToken | None = None
    additional_special_tokens: Tokens | None = None
    extra_special_tokens: Tokens | NamedTokens | None = None


class Settings(SpecialTokens, omit_defaults=True):
    """`tokenizer_config.json`, as far as it is used."""

    auto_map: Any = None
    tokenizer_class: str | None = None
    added_tokens_decoder: (
        Annotated[dict[str, Token], msgspec.Meta(max_length=LISTED_TOKENS)] | None
    ) = None
    model_max_length: Annotated[int, msgspec.Meta(ge=1)] | None = None
    model_input_names: Annotated[list[Short], msgspec.Meta(max_length=16)] | None = None
    padding_side: Literal["left", "right"] | None = None
    truncation_side: Literal["left", "right"] | None = None
    clean_up_tokenization_spaces: bool | None = None
    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    keep_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    add_prefix_space: bool | None = None
    trim_offsets: bool | None = None
    split_by_punct: bool | None = None
    errors: Short | None = None


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
    vocab: list[tuple[Piece, float]] | dict[str, int] = {}


class Definition(msgspec.Struct):
    """`tokenizer.json`, as far as it may cost more than it weighs."""

    model: Model
    added_tokens: Annotated[list[Token], msgspec.Meta(max_length=LISTED_TOKENS)] = []
    normalizer: Step | None = None
    pre_tokenizer: Step | None = None
    post_processor: Step | None = None


def checked_tokenizer(
    files: ModelFiles, tokens: int, classes: Collection[str] = ()
) -> dict[str, bytes]:
    """Return the files that a tokenizer may be loaded from, by name.

    Args:
        tokens: That the model has embeddings for.
        classes: Of tokenizers that may be used beside the tested ones.

    Raises:
        UnsafeFileError, MalformedError: Naming the file.
    """
    kept = tokenizer_contents(files)
    limit = BASE_BYTES + BYTES_PER_TOKEN * tokens
    for name, data in kept.items():
        if len(data) > limit:
            where = files.path(name)
            raise unsafe(where, f"at most {limit} bytes for {tokens} tokens", f"{len(data)} bytes")
        if name == "tokenizer_config.json":
            settings = decode(data, Settings, files.path(name), limit)
            _check_class(settings, files.path(name), classes)
            kept[name] = msgspec.json.encode(settings)
        elif name == "special_tokens_map.json":
            kept[name] = msgspec.json.encode(decode(data, SpecialTokens, files.path(name), limit))
        elif name == "tokenizer.json":
            check_definition(data, files.path(name))
    return kept


def tokenizer_contents(files: ModelFiles) -> dict[str, bytes]:
    """Choose the files that define a tokenizer: `tokenizer.json`, or else its vocabulary."""
    both = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    names = [name for name in both if name in files.contents]
    if "tokenizer.json" in files.contents:
        names.append("tokenizer.json")
    else:
        parts = ("vocab.txt", "vocab.json", "merges.txt")
        names += [name for name in files.contents if name in parts or name.endswith(".model")]
    return {name: files.contents[name] for name in names}


def _check_class(settings: Settings, where: object, classes: Collection[str]) -> None:
    if settings.auto_map is not None:
        raise unsafe(where, "no key auto_map", repr(settings.auto_map)[:80])
    name = settings.tokenizer_class
    known = {*TOKENIZER_CLASSES, *(each.removesuffix("Fast") for each in classes)}
    if name is not None and name.removesuffix("Fast") not in known:
        raise UnsafeFileError(
            where,
            expected=f"tokenizer_class to be one of {', '.join(sorted(known))}",
            found=repr(name)[:80],
            do=f"use a student of the tested types, or {ALLOW} with the type of the tokenizer if "
            "you trust who made it",
        )


def check_definition(data: bytes, where: object) -> None:
    """Refuse a `tokenizer.json` whose steps could take a time or a room that no text explains.

    Raises:
        UnsafeFileError, MalformedError: Naming the step.
    """
    definition = decode(data, Definition, where, len(data))
    first = (definition.normalizer, definition.pre_tokenizer, definition.post_processor)
    waiting = [step for step in first if step is not None]
    count = 0
    while waiting:
        step = waiting.pop()
        count += 1
        if count > MOST_STEPS:
            raise unsafe(where, f"at most {MOST_STEPS} steps", "more")
        waiting += [*step.normalizers, *step.pretokenizers, *step.processors]
        pattern = step.pattern or Pattern()
        if pattern.Regex is not None and pattern.Regex not in EXPRESSIONS:
            expected = f"regular expressions to be among {', '.join(EXPRESSIONS)}"
            raise unsafe(where, expected, pattern.Regex[:80])
        if step.type == "Replace":
            longest = max(1, len(pattern.String or ""))
            if len(step.content) > longest:
                expected = f"a replacement of at most {longest} characters for its pattern"
                raise unsafe(where, expected, f"{len(step.content)}")
        if step.precompiled_charsmap is not None:
            _check_charsmap(step.precompiled_charsmap, where)


def _check_charsmap(encoded: str, where: object) -> None:
    """Bound what one character becomes: the size of a table, the table, texts that end in 0."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise MalformedError(
            where, expected="a charsmap in base64", found="something else", do="use another model"
        ) from None
    texts = data[4 + int.from_bytes(data[:4], "little") :]
    longest = max(map(len, texts.split(b"\0")))
    if longest > NORMALISED_BYTES:
        expected = f"normalisations of at most {NORMALISED_BYTES} bytes"
        raise unsafe(where, expected, f"{longest} bytes")
