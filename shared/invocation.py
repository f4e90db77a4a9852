"""The command line that options stand for; as a card shows it, without local paths."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared.errors import printable
from mixkd.shared.options import option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def command_line(
    command: str,
    options: DataclassInstance,
    *,
    left_out: Collection[str] = (),
    repeated: Collection[str] = (),
    prefixes: Mapping[str, str] | None = None,
    separators: Mapping[str, str] | None = None,
    with_places: bool = False,
) -> str:
    """Return a command with every option that is not at its default.

    A path that says where a user keeps files, as one from the root or from home does, is given by
    its last part; what has no text, such as data in memory, by the name of its type.

    Args:
        options: Its class's fields have the names of the options.
        left_out: Fields that say nothing about the outcome.
        repeated: Fields that are given once per value; other sequences are joined.
        prefixes: Of the options that the keys of a field are: `{"weights": "alpha_"}`.
        separators: Of the fields whose values are not joined by commas: `{"layers": "-"}`.
        with_places: Give paths whole, for a file that stays with its user.
    """
    words, prefixes, separators = command.split(), prefixes or {}, separators or {}

    def word(value: object) -> str:
        return _word(value, with_places)

    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in left_out or value == _default(field):
            continue
        flag = option(field.name)
        if isinstance(value, bool):
            words.append(flag if value else option(f"no_{field.name}"))
        elif field.name in prefixes:
            for key, number in value.items():
                words += [option(f"{prefixes[field.name]}{key}"), word(number)]
        elif field.name in repeated:
            several = [value] if isinstance(value, str | Path) else value
            for one in several:
                words += [flag, word(one)]
        elif isinstance(value, tuple | list):
            words += [flag, separators.get(field.name, ",").join(map(word, value))]
        else:
            words += [flag, word(value)]
    return shlex.join(words)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _word(value: object, with_places: bool) -> str:
    if not isinstance(value, str | Path | int | float):
        return type(value).__name__
    path = Path(str(value))
    is_local = path.is_absolute() or {"..", "~"} & {*path.parts}
    return printable(path.name if is_local and not with_places else value)
