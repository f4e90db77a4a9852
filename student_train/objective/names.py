"""Names that a row of a table may have: they become options, keys and column heads."""

from __future__ import annotations

import re
from collections.abc import Container

from mixkd.shared.errors import UsageError

NAME = re.compile(r"[a-z][a-z0-9]*")


def check_name(kind: str, name: str, taken: Container[str]) -> None:
    """Refuse a name that is taken or that cannot be part of an option.

    Raises:
        UsageError: Naming it.
    """
    if not NAME.fullmatch(name) or name in taken:
        raise UsageError(
            f"{kind} {name}",
            expected="a new name of lower-case letters and digits",
            found="a registered one" if name in taken else repr(name),
            do="choose another name",
        )
