"""Text of a stranger in a card: shown as text, never as markup, an image, a link or a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mixkd.shared.errors import printable, short

# An underscore within a word is not markup: names of models and metrics stay readable.
SPECIAL = re.compile(r"[\\`*\[\]#|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "&#64;"))
LISTED = 200
ADDRESSES = (("://", r"\:\/\/"), ("www.", r"www\."), ("WWW.", r"WWW\."))


def plain(value: object) -> str:
    """Return one line of Markdown that is shown as `value`; a long one is cut."""
    text = SPECIAL.sub(r"\\\g<0>", short(printable(value)))
    for begin, escaped in (*ENTITIES, *ADDRESSES):
        text = text.replace(begin, escaped)
    return text


def listed(values: Sequence[object]) -> str:
    """Return values as a list on one line; of very many, the first ones and how many follow."""
    shown = ", ".join(map(plain, values[:LISTED]))
    more = len(values) - LISTED
    return f"{shown} and {more} more" if more > 0 else shown
