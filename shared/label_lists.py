"""A value of a table as a list of labels: a list, or text that spells one as JSON.

csv and tsv have nothing but text: there `["warm", "odd"]` and `[0, 2]` are lists.
"""

from __future__ import annotations

import json


def label_list(value: object) -> list[object] | None:
    """Return the labels in a value, None if it is not a list."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return list(value) if isinstance(value, list | tuple) else None
