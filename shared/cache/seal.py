"""Seals: which rows are complete, what every file must be, and the scores that prove alignment.

`seals/<sha256>.json` is named by the sha256 of its own bytes: the pin that a team compares.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from mixkd.shared.cache.header import SHARDS_LIMIT, CoveredFile, check_order
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.versions import decode_versioned
from mixkd.shared.json_values import Count, Sha256, Value, decode, dumps, malformed

MANIFEST = "MANIFEST.json"
SEALS = "seals"
SEAL_LIMIT_BYTES = 64 * 2**20
SEALS_LIMIT = 1000
SCORES_LIMIT_BYTES = 2**20
Scores = dict[str, dict[str, float]]


class RowCounts(Value, frozen=True, kw_only=True):
    """How many rows of each kind are complete."""

    originals: Count
    pairs: Count


class _Covered(Value, frozen=True, kw_only=True):
    """The complete rows of a cache and everything that a reader uses.

    Attributes:
        shards: The records, originals first, each kind in order of its rows.
        files: `cache.json` and all under `examples/`, `tokenizer/` and `student_init/`, by path.
    """

    format: Literal[1]
    fingerprint: Sha256
    rows: RowCounts
    shards: Annotated[tuple[Record, ...], msgspec.Meta(max_length=SHARDS_LIMIT)]
    files: tuple[CoveredFile, ...]


class _Seal(_Covered, frozen=True, kw_only=True):
    """A seal whose scores are still text: a table of numbers takes 20 times the room of its text.

    A key may be given twice, so only what is decoded later cannot be decoded too often.
    """

    scores: msgspec.Raw


class Seal(_Covered, frozen=True, kw_only=True):
    """What `MANIFEST.json` says: everything that a reader uses, and the proof of alignment.

    Attributes:
        scores: Split -> metric -> the stored logits' score against the stored labels.
    """

    scores: Scores

    @property
    def length(self) -> tuple[int, int]:
        """What seals are ordered by."""
        return (self.rows.pairs, self.rows.originals)

    def records(self, kind: str) -> tuple[Record, ...]:
        """Return the records of a kind, in order."""
        return tuple(record for record in self.shards if record.kind == kind)

    @classmethod
    def from_bytes(cls, data: bytes, where: object) -> Seal:
        """Decode and check a seal.

        Raises:
            MalformedError, VersionError: Naming what is wrong.
        """
        text = decode_versioned(data, _Seal, where, SEAL_LIMIT_BYTES)
        scores = decode(bytes(text.scores), Scores, f"{where}, scores", SCORES_LIMIT_BYTES)
        covered = {name: getattr(text, name) for name in _Covered.__struct_fields__}
        seal = cls(**covered, scores=scores)
        seal._check(where)
        return seal

    def to_bytes(self) -> bytes:
        """Return the canonical JSON."""
        return dumps(self)

    def _check(self, where: object) -> None:
        """Require every row exactly once, in order, originals first, all of one cache."""
        position = {"originals": 0, "pairs": 0}
        for record in self.shards:
            record.check(where)
            if record.fingerprint != self.fingerprint:
                raise malformed(where, f"fingerprint {self.fingerprint}", record.fingerprint)
            too_late = record.kind == "originals" and position["pairs"] > 0
            if record.start != position[record.kind] or too_late:
                expected = f"{record.kind} from row {position[record.kind]}, originals first"
                raise malformed(where, expected, f"row {record.start}")
            position[record.kind] = record.stop
        if position != {"originals": self.rows.originals, "pairs": self.rows.pairs}:
            expected = f"rows {self.rows.originals} and {self.rows.pairs}"
            raise malformed(where, expected, position)
        check_order(self.files, where)


def seal_name(pin: str) -> str:
    """Return the path of the seal with this sha256."""
    return f"{SEALS}/{pin}.json"
