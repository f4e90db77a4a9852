"""What a large file is to hold: written from where it lies, known by its digest, never copied."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BUFFER_BYTES = 2**20


class Sink:
    """Takes bytes in pieces as a file does, and hands small ones on together."""

    closed = False

    def __init__(self, take: Callable[[Any], None]) -> None:
        self._take = take
        self._small = bytearray()

    def write(self, data: Any) -> int:
        """Take all of the bytes."""
        data = memoryview(data).cast("B")
        if len(self._small) + len(data) > BUFFER_BYTES:
            self.flush()
        if len(data) > BUFFER_BYTES:
            self._take(data)
        else:
            self._small += data
        return len(data)

    def flush(self) -> None:
        """Hand on what is left."""
        if self._small:
            self._take(self._small)
            self._small = bytearray()

    def close(self) -> None:
        """Hand on what is left."""
        self.flush()


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are written when they are needed.

    Attributes:
        write: Writes them into a `Sink`, each time the same.
    """

    write: Callable[[Sink], Any]
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, write: Callable[[Sink], Any]) -> Content:
        """Write it once into nothing, to know size and digest."""
        digest, sizes = hashlib.sha256(), [0]

        def take(data: Any) -> None:
            digest.update(data)
            sizes[0] += len(data)

        sink = Sink(take)
        write(sink)
        sink.flush()
        return cls(write, sizes[0], digest.hexdigest())

    @classmethod
    def of_bytes(cls, data: bytes) -> Content:
        """Take what is in memory already."""
        return cls.of(lambda sink: sink.write(data))

    def write_to(self, take: Callable[[Any], None]) -> None:
        """Give the bytes to a function, piece by piece."""
        sink = Sink(take)
        self.write(sink)
        sink.flush()
