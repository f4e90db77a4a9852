"""The list of hostile caches: a name, the format it starts from, the function that spoils it."""

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
        errors: Names of the classes of errors that may refuse it.
        memory_bytes: That a reader may need beyond what it has when it starts.
        spoil: Is given the cache's folder and a bait: a file outside it that no reader may open.
    """

    shard_format: str
    errors: tuple[str, ...]
    spoil: Spoil
    memory_bytes: int = MEMORY_BYTES


HOSTILE: dict[str, Hostile] = {}


def hostile(
    shard_format: str, *errors: str, memory_bytes: int = MEMORY_BYTES
) -> Callable[[Spoil], Spoil]:
    """Register a function under its name."""

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
    if name in HOSTILE:
        raise ValueError(f"two hostile caches are called {name}")
    HOSTILE[name] = Hostile(shard_format, errors, spoil, memory_bytes)
