"""Check a stranger's tokenizer before `transformers` sees it: its class, its settings, its size.

What its files say is decoded into types. What no type has a place for, such as a path or a chat
template, never reaches a library; more than the tokens of its model explain is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec

from mixkd.shared.errors import UnsafeFileError
from mixkd.shared.json_values import decode
from mixkd.shared.models.config import ALLOW
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.untrusted import unsafe
from mixkd.shared.models.untrusted_definition import LISTED_TOKENS, Short, Token, check_definition

# XLM-R's tokenizer.json has 68 bytes per token, Gemma's 130.
BYTES_PER_TOKEN = 512
BASE_BYTES = 2 * 2**20
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
