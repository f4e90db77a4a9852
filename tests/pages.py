"""The fenced blocks of the documentation, and the command lines in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def read(page: str) -> str:
    """The text of a page, named from the root of the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str, under: str = "") -> list[str]:
    """A page's blocks of these languages, all without any.

    Args:
        under: A heading; blocks of its section alone.
    """
    text = read(page)
    if under:
        (text,) = re.findall(rf"^## {re.escape(under)}\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    found = FENCED.findall(text)
    return [block for language, block in found if not languages or language in languages]


def lines(block: str) -> list[str]:
    """The lines of a block that are not empty, continued ones as one."""
    return [line for line in block.replace("\\\n", "").splitlines() if line]
