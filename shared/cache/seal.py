"""The cache, format 1: the one place where the format is written down.

A cache is a directory that holds everything a student needs: tokenised examples, the list of mixup
pairs, the teacher's raw logits, the tokenizer, and starting points for students. ::

    cache.json                         identity, shard_rows, about; the last file of a creation,
                                       created exclusively, never edited
    tokenizer/                         as save_pretrained writes it
    student_init/3-layers/             the teacher's embeddings and first 3 encoder layers
    examples/<split>.arrow             tokenised examples; row number = example id in the split
    data/<kind>-<start>-<sha12>.arrow  (or .h5) the teacher's logits, in shards
    commits/<kind>-<start>.json        one record a shard, created exclusively, after the shard
    seals/<sha12>.json                 every seal ever made, created exclusively
    MANIFEST.json                      byte-equal to the longest seal
    README.md, runs/<uuid>.json        data set card and provenance; covered by no digest

`<kind>` is `originals` or `pairs`; `<start>` its first row in nine digits; `<sha12>` the first
twelve hexadecimal digits of the file's sha256. JSON files are canonical (`shared/canonical.py`),
with exact keys except under `about` and `made`.

**Tables.** `examples/<split>.arrow`: `text_a`, `text_b` (utf8; `text_b` for pairs of sentences,
both absent in a cache made without texts), `label` (int64 in the order of `label_names`; float32
for regression), `input_ids` (list<int32>: special tokens included, truncated, not padded),
`token_type_ids` (list<int8>, only where the teacher uses them). Shards of `originals`: `split`
(int8, position in the identity's list), `example` (uint32), `logits` (C raw ones, float32 or
float16); train first, then each validation split. Shards of `pairs`: `left`, `right` (uint32 train
ids), `lam` (float32), `logits`. `shared/shards/` says how columns become bytes.

**Identity.** Content only, so that equal content made elsewhere is equal. Its canonical sha256 is
the *fingerprint*, which every shard, record and seal repeats. Names, Hub ids, revisions and
licences are in `about`; no local path is anywhere.

**Records and seals.** A record says what it commits: rows, file, size, sha256, and what made it. A
seal lists the records of the complete rows, the size and sha256 of every other file that a reader
uses, and the scores of the stored logits against the stored labels. Nothing in either depends on
time, host, process or path. A later seal covers the same files as an earlier one: published bytes
never change, and damage must not be sealed. Seals are ordered by (pairs, originals). The longest
may exceed what one builder asked for, when another went further.

**Beside what the contract says**: the shard format of a cache is `about.shard_format`; the digests
of examples frame each text and each row by its length (`shared/examples.py`).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mixkd.shared import FORMAT_VERSION, strict
from mixkd.shared.cache.header import check_version, read_versioned
from mixkd.shared.cache.layout import KINDS
from mixkd.shared.canonical import dumps, sha256_hex

SEAL_LIMIT_BYTES = 64 * 2**20
JSON_LIMIT_BYTES = 64 * 2**10
SHARDS_LIMIT = 1_000_000
COVERED_FILE = re.compile(
    r"cache\.json|examples/[a-z0-9_]+\.arrow"
    r"|(tokenizer|student_init/[1-9][0-9]{0,3}-layers)/"
    r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\.(json|txt|model|safetensors)"
)
RECORD_KEYS = "format fingerprint kind start stop file bytes sha256 made".split()


@dataclass(frozen=True, slots=True)
class Record:
    """What was committed: rows [start, stop) of a kind, in which file, and what made it."""

    fingerprint: str
    kind: str
    start: int
    stop: int
    file: str
    size_bytes: int
    sha256: str
    made: dict[str, Any]

    @property
    def name(self) -> str:
        return record_name(self.kind, self.start)

    @property
    def shard_format(self) -> str:
        return "hdf5" if self.file.endswith(".h5") else "arrow"

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT_VERSION, **_with_bytes(self)}

    def to_bytes(self) -> bytes:
        return dumps(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes, where: object) -> Record:
        return cls.from_json(read_versioned(data, where, JSON_LIMIT_BYTES), where)

    @classmethod
    def from_json(cls, value: Any, where: object) -> Record:
        value = strict.table(value, where, RECORD_KEYS)
        check_version(value, where)
        record = cls(
            fingerprint=strict.text(value["fingerprint"], where, strict.SHA256),
            kind=strict.choice(value["kind"], where, KINDS),
            start=strict.count(value["start"], where),
            stop=strict.count(value["stop"], where),
            file=strict.text(value["file"], where),
            size_bytes=strict.count(value["bytes"], where),
            sha256=strict.text(value["sha256"], where, strict.SHA256),
            made=value["made"],
        )
        if not isinstance(record.made, dict) or record.stop <= record.start:
            raise strict.wrong(where, "start < stop", f"rows {record.start} to {record.stop}")
        derived = [shard_name(record.kind, record.start, record.sha256, s) for s in ("arrow", "h5")]
        if record.file not in derived:
            raise strict.wrong(where, f"file {derived[0]} or .h5", repr(record.file)[:120])
        return record


@dataclass(frozen=True, slots=True)
class CoveredFile:
    """Size and sha256 of a file that a reader uses beside the shards."""

    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)  # without slots, so that the digest is computed once
class Seal:
    """The complete rows, everything that covers them, and the scores that prove their alignment."""

    fingerprint: str
    originals: int
    pairs: int
    shards: tuple[Record, ...]
    files: tuple[CoveredFile, ...]
    scores: dict[str, dict[str, float]]

    @cached_property
    def digest(self) -> str:
        return sha256_hex(dumps(self._rest()))

    @property
    def name(self) -> str:
        return f"seals/{self.digest[:12]}.json"

    @property
    def length(self) -> tuple[int, int]:
        """What seals are ordered by."""
        return (self.pairs, self.originals)

    def records(self, kind: str) -> tuple[Record, ...]:
        return tuple(record for record in self.shards if record.kind == kind)

    def to_bytes(self) -> bytes:
        return dumps({**self._rest(), "digest": self.digest})

    def _rest(self) -> dict[str, Any]:
        return {
            "format": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "rows": {"originals": self.originals, "pairs": self.pairs},
            "shards": [record.to_json() for record in self.shards],
            "files": [_with_bytes(file) for file in self.files],
            "scores": self.scores,
        }

    @classmethod
    def from_bytes(cls, data: bytes, where: object) -> Seal:
        value = read_versioned(data, where, SEAL_LIMIT_BYTES)
        keys = ["format", "fingerprint", "rows", "shards", "files", "scores", "digest"]
        value = strict.table(value, where, keys)
        digest = value.pop("digest")
        if digest != sha256_hex(dumps(value)):
            raise strict.wrong(where, "the digest of its own content", repr(digest)[:80])
        rows = strict.table(value["rows"], where, ["originals", "pairs"])
        records = strict.array(value["shards"], where)
        if len(records) > SHARDS_LIMIT:
            raise strict.wrong(where, f"at most {SHARDS_LIMIT} shards", len(records))
        seal = cls(
            fingerprint=strict.text(value["fingerprint"], where, strict.SHA256),
            originals=strict.count(rows["originals"], where),
            pairs=strict.count(rows["pairs"], where),
            shards=tuple(Record.from_json(item, where) for item in records),
            files=tuple(_covered(item, where) for item in strict.array(value["files"], where)),
            scores=_scores(value["scores"], where),
        )
        seal._check_rows(where)
        return seal

    def _check_rows(self, where: object) -> None:
        """Every row exactly once, in order, originals first, all of one cache."""
        position = {"originals": 0, "pairs": 0}
        for record in self.shards:
            if record.fingerprint != self.fingerprint:
                raise strict.wrong(where, f"fingerprint {self.fingerprint}", record.fingerprint)
            if record.start != position[record.kind] or (
                record.kind,
                position["pairs"] > 0,
            ) == (
                "originals",
                True,
            ):
                raise strict.wrong(
                    where,
                    f"{record.kind} from row {position[record.kind]}",
                    f"row {record.start}",
                )
            position[record.kind] = record.stop
        if position != {"originals": self.originals, "pairs": self.pairs}:
            raise strict.wrong(where, f"rows {self.originals} and {self.pairs}", position)
        names = [file.file for file in self.files]
        if names != sorted(set(names)):
            raise strict.wrong(where, "files in order, each once", f"{len(names)} names")


def shard_name(kind: str, start: int, sha256: str, suffix: str) -> str:
    return f"data/{kind}-{start:09d}-{sha256[:12]}.{suffix}"


def record_name(kind: str, start: int) -> str:
    return f"commits/{kind}-{start:09d}.json"


def _with_bytes(value: Record | CoveredFile) -> dict[str, Any]:
    """As JSON, where the size is called `bytes`."""
    found = asdict(value)
    found["bytes"] = found.pop("size_bytes")
    return found


def _covered(value: Any, where: object) -> CoveredFile:
    value = strict.table(value, where, ["file", "bytes", "sha256"])
    return CoveredFile(
        strict.text(value["file"], where, COVERED_FILE),
        strict.count(value["bytes"], where),
        strict.text(value["sha256"], where, strict.SHA256),
    )


def _scores(value: Any, where: object) -> dict[str, dict[str, float]]:
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise strict.wrong(where, "scores as split -> metric -> number", type(value).__name__)
    for split in value.values():
        for score in split.values():
            strict.number(score, where)
    return value
