"""What a builder process and the command that started it tell each other: lines of JSON.

The command writes the options and closes; the builder answers line by line. A builder that is
killed in the middle of a line has said nothing with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import msgspec

from mixkd.shared import errors
from mixkd.shared.errors import MixkdError
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.results import RunFacts


class Scored(msgspec.Struct, frozen=True, tag=True):
    """Rows that the teacher has scored so far."""

    rows: int


class Said(msgspec.Struct, frozen=True, tag=True):
    """A line of the log, and its level."""

    level: int
    text: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A named failure: another builder would meet it as well."""

    kind: str
    where: str
    expected: str
    found: str
    do: str

    @classmethod
    def of(cls, error: MixkdError) -> Failed:
        """Take an error apart."""
        return cls(type(error).__name__, error.where, error.expected, error.found, error.do)

    def error(self) -> MixkdError:
        """Put the error together again, of the same class."""
        kind: type[MixkdError] = getattr(errors, self.kind, MixkdError)
        return kind(self.where, expected=self.expected, found=self.found, do=self.do)


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The builder is through; None where it found nothing to do."""

    run: RunFacts | None


Message = Scored | Said | Failed | Ended
_decoder = msgspec.json.Decoder(Message)


def encoded(message: Message) -> bytes:
    """Return the line that says this."""
    return msgspec.json.encode(message) + b"\n"


def decoded(lines: Iterable[bytes]) -> Iterator[Message]:
    """Give the messages in these lines; a line that is not a message is skipped."""
    for line in lines:
        try:
            yield _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def encoded_options(options: BuildOptions) -> bytes:
    """Return what `decoded_options` takes."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return json.dumps(values, default=str).encode()  # a Path as text


def decoded_options(data: bytes) -> BuildOptions:
    """Return the options that another process has checked."""
    return BuildOptions(**{name: _frozen(value) for name, value in json.loads(data).items()})


def _frozen(value: Any) -> Any:
    """Return lists, also those in lists, as the tuples that options have."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
