"""The lists of hostile caches: a name, the format it starts from, the function that spoils it.

`HOSTILE` must be refused. `HARMLESS` are odd, but must be read as if they were not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MEMORY_BYTES = 64 * 2**20
Spoil = Callable[[Path, Path], object]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One way to attack a reader.

    Attributes:
        shard_format: Of the good cache that `spoil` starts from.
        errors: Names of the classes of errors that may refuse it; none if it must be read.
        memory_bytes: That a reader may need beyond what it has when it starts.
        spoil: Is given the cache's folder and a bait: a file outside it that no reader may open.
    """

    shard_format: str
    errors: tuple[str, ...]
    spoil: Spoil
    memory_bytes: int = MEMORY_BYTES


HOSTILE: dict[str, Hostile] = {}
HARMLESS: dict[str, Hostile] = {}


def hostile(
    shard_format: str, *errors: str, memory_bytes: int = MEMORY_BYTES
) -> Callable[[Spoil], Spoil]:
    """Register a function under its name; without errors it is harmless."""

    def register(spoil: Spoil) -> Spoil:
        name: str = spoil.__name__  # type: ignore[attr-defined]
        register_as(name, shard_format, errors, spoil, memory_bytes)
        return spoil

    return register


def register_as(
    name: str,
    shard_format: str,
    errors: tuple[str, ...],
    spoil: Spoil,
    memory_bytes: int = MEMORY_BYTES,
) -> None:
    if name in HOSTILE or name in HARMLESS:
        raise ValueError(f"two hostile caches are called {name}")
    table = HOSTILE if errors else HARMLESS
    table[name] = Hostile(shard_format, errors, spoil, memory_bytes)
