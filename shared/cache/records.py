"""Records: what was committed. One file per shard in `commits/`, written after its shard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from mixkd.shared.cache.codecs import CODECS, Codec
from mixkd.shared.cache.codecs.base import KindName
from mixkd.shared.cache.versions import check_version, decode_versioned
from mixkd.shared.json_values import Count, Sha256, Value, dumps, malformed

RECORD_LIMIT_BYTES = 64 * 2**10
COMMITS = "commits"
GIVEN = "given"  # each part of `Made` where the logits were given: what computed them is unknown
Text = Annotated[str, msgspec.Meta(max_length=1000)]


class Made(Value, frozen=True, kw_only=True):
    """What computed a shard: versions, the device's name, the number format of the pass."""

    torch: Text
    transformers: Text
    device: Text
    dtype: Text


class Record(Value, frozen=True, kw_only=True):
    """Rows [start, stop) of a kind, in which file, and what made it."""

    format: Count
    fingerprint: Sha256
    kind: KindName
    start: Count
    stop: Count
    file: Text
    size_bytes: Count = msgspec.field(name="bytes")
    sha256: Sha256
    made: Made

    @property
    def name(self) -> str:
        """The record's own path in the cache."""
        return record_name(self.kind, self.start)

    @property
    def codec(self) -> Codec:
        """What the shard is read with."""
        suffix = self.file.rpartition(".")[2]
        return next(codec for codec in CODECS.values() if codec.suffix == suffix)

    @classmethod
    def from_bytes(cls, data: bytes, where: object) -> Record:
        """Decode and check a record.

        Raises:
            MalformedError, VersionError: Naming what is wrong.
        """
        record = decode_versioned(data, cls, where, RECORD_LIMIT_BYTES)
        record.check(where)
        return record

    def check(self, where: object) -> None:
        """Refuse a later format, no rows, or a file that rows and digest do not name."""
        check_version(self.format, where)
        if self.start >= self.stop:
            raise malformed(where, "start < stop", f"{self.start} and {self.stop}")
        stem = shard_name(self.kind, self.start, self.sha256, "")
        allowed = [stem + codec.suffix for codec in CODECS.values()]
        if self.file not in allowed:
            raise malformed(where, f"file {' or '.join(allowed)}", repr(self.file)[:80])

    def to_bytes(self) -> bytes:
        """Return the canonical JSON."""
        return dumps(self)


def shard_name(kind: str, start: int, sha256: str, suffix: str) -> str:
    """Return the path of a shard in its cache."""
    return f"data/{kind}-{start:09d}-{sha256[:12]}.{suffix}"


def record_of(file: str) -> str:
    """Return the path of the record that alone may name the shard `file`."""
    return f"{COMMITS}/{Path(file).name.rpartition('-')[0]}.json"


def record_name(kind: str, start: int) -> str:
    """Return the path of a shard's record in its cache."""
    return f"{COMMITS}/{kind}-{start:09d}.json"
