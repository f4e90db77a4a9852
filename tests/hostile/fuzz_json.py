"""Mutations of JSON values: other types, other sizes, other places, odd texts and numbers."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

from mixkd.shared.json_values import dumps

Path = tuple[Any, ...]  # the keys and indices that lead to a value
TEXTS = (
    "",
    "\0",
    "a" * 5000,
    "../x",
    "/etc/passwd",
    "\x1b[2J\r\n",
    "\u202e",
    "é",
    "\ud800",
    "\U0001f600",
    "0" * 64,
    "g" * 64,
    "train",
    "pairs",
    "NaN",
    "__class__",
    "cache.json",
    "examples/train.arrow",
    "student_init/layers-00/config.json",
)
BOUNDS = (2**31, 2**32, 2**53, 2**53 + 1, 2**63, 2**64, 10**308, 10**400, 10**4000)
NUMBERS = (0, 1, 2, -1, *BOUNDS, 0.0, -0.0, 0.5, 1.0, 1e16, 1e308, 5e-324)
LEVELS_SPELLED = 600  # so that no case depends on the depth of Python's stack
TEXT_LIMIT = 20_000  # of a text that grows with each mutation
SPELLED_LIMIT_BYTES = 2**20  # files of many bytes are a matter for `make_files.py`
LEVELS = (1, 1, 1, 2, 2, 3, 3, 5, 20, 98, 150, 480)


def odd(random: Random) -> Any:
    """A value that the place it is put in hardly expects."""
    kind = random.randrange(7)
    if kind == 0:
        return random.choice((None, True, False))
    if kind <= 2:
        return random.choice(NUMBERS)
    if kind == 3:
        return random.choice(TEXTS)
    if kind == 4:
        return random.choice(([], {}, [[]], {"": {}}, [None], {"bytes": 1}, [0] * 500))
    if kind == 5:
        return nested(random.choice((0, "x", [], {})), random.choice(LEVELS), random.random() < 0.5)
    return random.choice((float("nan"), float("inf"), "x" * random.randrange(300)))


def nested(value: Any, levels: int, tables: bool) -> Any:
    for _ in range(levels):
        value = {"a": value} if tables else [value]
    return value


def paths(value: Any, limit: int = 2000) -> list[Path]:
    """Where the values of a JSON value are, itself first."""
    found: list[tuple[Path, Any]] = [((), value)]
    for path, inner in found:
        if isinstance(inner, dict):
            found += [((*path, key), item) for key, item in inner.items()]
        elif isinstance(inner, list):
            found += [((*path, index), item) for index, item in enumerate(inner)]
        if len(found) > limit:
            break
    return [path for path, inner in found]


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def other_number(random: Random, value: Any) -> Any:
    if isinstance(value, float):
        whole = int(value) if math.isfinite(value) else 0
        return random.choice((-value, value + 1e-7, value * 2, whole, float(2**60)))
    return random.choice(
        (value + 1, value - 1, -value, value * 2, value + 16, float(value % 2**60))
    )


def other_text(random: Random, text: str) -> str:
    """Cut, doubled, with a character changed, or with one repeated."""
    text = text[:TEXT_LIMIT]
    place = random.randrange(len(text)) if text else 0
    kind = random.randrange(6)
    if kind == 0:
        return text[:place]
    if kind == 1:
        return text + text
    if kind == 2:
        return text[:place] + random.choice(text or "x") + text[place + 1 :]
    if kind == 3:
        return text[:place] + random.choice("\0\n\x1b/.~9aZ\u202e\ud800é") + text[place + 1 :]
    if kind == 4:
        return (
            text[:place] + text[place : place + 1] * random.choice((2, 3, 200, 5000)) + text[place:]
        )
    return text.upper()


def shorter(value: str, limit: int = 40) -> str:
    return value if len(value) <= limit else f"{value[:limit]}…"


def mutate(random: Random, value: Any, others: list[Any]) -> tuple[Any, str]:
    """One mutation of a JSON value, which may be changed in place, and what it was.

    Args:
        others: Values of the same kind of file, to take parts from.
    """
    path = random.choice(paths(value))
    if not path:
        path = random.choice(paths(value))
    here = at(value, path)
    kind = random.choice(KINDS)
    steps = f"{kind} at {'.'.join(shorter(str(step)) for step in path) or 'the root'}"
    if kind == "near" and isinstance(here, str):
        return _set(value, path, other_text(random, here)), steps
    if kind == "near" and isinstance(here, (int, float)) and not isinstance(here, bool):
        return _set(value, path, other_number(random, here)), steps
    if kind == "part":
        other = random.choice(others)
        return _set(
            value, path, json.loads(json.dumps(at(other, random.choice(paths(other)))))
        ), steps
    if kind == "wrap":
        levels = random.choice(LEVELS)
        return _set(value, path, nested(here, levels, random.random() < 0.5)), steps
    above: Any = at(value, path[:-1]) if path else None
    if kind == "delete" and path:
        del above[path[-1]]
    elif kind == "repeat" and isinstance(above, list):
        above[path[-1] : path[-1]] = [here] * random.choice((1, 1, 2, 50))
    elif kind == "swap" and isinstance(above, list):
        other = random.randrange(len(above))
        above[path[-1]], above[other] = above[other], here
    elif kind == "rename" and isinstance(above, dict):
        above[other_text(random, path[-1])] = above.pop(path[-1])
    elif kind in ("insert", "rename") and isinstance(here, dict):
        here[random.choice(TEXTS)] = odd(random)
    elif kind == "insert" and isinstance(here, list):
        here.insert(random.randrange(len(here) + 1), odd(random))
    else:
        return _set(value, path, odd(random)), f"odd at {steps.split(' at ')[1]}"
    return value, steps


KINDS = "odd near near near part wrap delete repeat swap rename insert".split()


def _set(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    at(value, path[:-1])[path[-1]] = new
    return value


def spelled(value: Any, canonical: bool = True) -> bytes:
    """Canonical where the value has a canonical text, and as near to it as can be where not.

    A reader is to take any other spelling too, which `canonical=False` gives: without spaces, keys
    as they come, characters beyond ASCII escaped.
    """
    deep = b"[" * 2000 + b"]" * 2000 + b"\n"
    if len(max(paths(value), key=len)) > LEVELS_SPELLED:
        return deep
    try:
        data = dumps(value) if canonical else json.dumps(value, separators=(",", ":")).encode()
        return data if len(data) <= SPELLED_LIMIT_BYTES else deep
    except ValueError:  # not a number, infinity, text that is no Unicode, more than 4300 digits
        pass
    try:
        return json.dumps(value, sort_keys=True, indent=1).encode() + b"\n"
    except ValueError:
        return b"9" * 5000 + b"\n"
