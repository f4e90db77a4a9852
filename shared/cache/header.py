"""The identity of a cache: what it is a cache of, and `cache.json`, which says so."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mixkd.shared import FORMAT_VERSION, strict
from mixkd.shared.cache.layout import Layout
from mixkd.shared.canonical import dumps, loads, sha256_hex
from mixkd.shared.errors import VersionError
from mixkd.shared.metrics import CLASSIFICATION, PROBLEM_TYPES
from mixkd.shared.mixup import MASK_RULES, MaskRule
from mixkd.shared.plan import PLAN_VERSION

CACHE_FILE_LIMIT_BYTES = 64 * 2**20
SPLIT_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
MIXUP_SITE = "input_embeddings"


@dataclass(frozen=True, slots=True)
class Split:
    """One labelled split: its name, its rows, and what they are."""

    name: str
    rows: int
    texts_sha256: str
    ids_sha256: str


@dataclass(frozen=True)  # without slots, so that the fingerprint is computed once
class Identity:
    """What a cache is a cache of. `splits` begins with train."""

    problem_type: str
    label_names: tuple[str, ...]
    splits: tuple[Split, ...]
    teacher_sha256: str
    teacher_columns: tuple[int, ...]
    max_length: int
    beta: float
    mask: MaskRule
    seed: int
    logits_dtype: str

    @property
    def classes(self) -> int:
        """C, the number of logits in a row; 1 for regression."""
        return len(self.label_names) if self.problem_type == CLASSIFICATION else 1

    @property
    def train_rows(self) -> int:
        return self.splits[0].rows

    @property
    def originals(self) -> int:
        return sum(split.rows for split in self.splits)

    @cached_property
    def fingerprint(self) -> str:
        return sha256_hex(dumps(self.to_json()))

    def layout(self, kind: str, start: int, stop: int) -> Layout:
        return Layout(self.fingerprint, kind, start, stop, self.classes, self.logits_dtype)

    def differences(self, other: Identity) -> list[str]:
        """`name: mine, theirs` for each field that differs."""
        mine, theirs = _flat(self.to_json()), _flat(other.to_json())
        return [
            f"{name} {_short(mine.get(name))} (there: {_short(theirs.get(name))})"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "problem_type": self.problem_type,
            "label_names": list(self.label_names),
            "splits": [asdict(split) for split in self.splits],
            "teacher": {
                "sha256": self.teacher_sha256,
                "columns": list(self.teacher_columns),
            },
            "max_length": self.max_length,
            "mixup": {
                "site": MIXUP_SITE,
                "beta": float(self.beta),
                "mask": self.mask,
                "seed": self.seed,
                "plan": PLAN_VERSION,
            },
            "logits_dtype": self.logits_dtype,
        }

    @classmethod
    def from_json(cls, value: Any, where: object) -> Identity:
        keys = "problem_type label_names splits teacher max_length mixup logits_dtype".split()
        value = strict.table(value, where, keys)
        teacher = strict.table(value["teacher"], where, ["sha256", "columns"])
        mixup = strict.table(value["mixup"], where, ["site", "beta", "mask", "seed", "plan"])
        strict.choice(mixup["site"], where, [MIXUP_SITE])
        if mixup["plan"] != PLAN_VERSION or type(mixup["plan"]) is not int:
            raise _newer(where, f"plan {mixup['plan']!r}"[:60], f"plan {PLAN_VERSION}")
        identity = cls(
            problem_type=strict.choice(value["problem_type"], where, PROBLEM_TYPES),
            label_names=tuple(
                strict.text(name, where) for name in strict.array(value["label_names"], where)
            ),
            splits=tuple(_split(item, where) for item in strict.array(value["splits"], where)),
            teacher_sha256=strict.text(teacher["sha256"], where, strict.SHA256),
            teacher_columns=tuple(
                strict.count(column, where) for column in strict.array(teacher["columns"], where)
            ),
            max_length=strict.count(value["max_length"], where),
            beta=_written_as_float(mixup["beta"], where),
            mask=strict.choice(mixup["mask"], where, MASK_RULES),
            seed=strict.count(mixup["seed"], where),
            logits_dtype=strict.choice(value["logits_dtype"], where, ["float32", "float16"]),
        )
        identity.check(where)
        return identity

    def check(self, where: object) -> None:
        """Refuse an identity whose parts contradict each other."""
        names = [split.name for split in self.splits]
        if names[:1] != ["train"] or len(set(names)) != len(names) or len(names) < 2:
            raise strict.wrong(where, "splits train and at least one more, each once", names)
        if any(split.rows < 1 for split in self.splits) or self.train_rows < 2:
            raise strict.wrong(where, "two train examples and one of each other split", names)
        classes = self.classes
        if len(set(self.label_names)) != len(self.label_names) or not 1 <= classes <= 65536:
            raise strict.wrong(where, "distinct label names", f"{len(self.label_names)} names")
        if sorted(self.teacher_columns) != list(range(classes)):
            raise strict.wrong(where, f"a permutation of 0..{classes - 1}", self.teacher_columns)
        if not self.beta > 0 or self.max_length < 1:
            raise strict.wrong(where, "beta > 0 and max_length > 0", (self.beta, self.max_length))


@dataclass(frozen=True, slots=True)
class CacheFile:
    """`cache.json`: the identity, the rows of a shard, and `about`, which is free text."""

    identity: Identity
    shard_rows: int
    about: dict[str, Any]

    def to_bytes(self) -> bytes:
        return dumps(
            {
                "format": FORMAT_VERSION,
                "fingerprint": self.identity.fingerprint,
                "identity": self.identity.to_json(),
                "shard_rows": self.shard_rows,
                "about": self.about,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: object) -> CacheFile:
        value = read_versioned(data, where, CACHE_FILE_LIMIT_BYTES)
        keys = ["format", "fingerprint", "identity", "shard_rows", "about"]
        value = strict.table(value, where, keys)
        identity = Identity.from_json(value["identity"], where)
        if value["fingerprint"] != identity.fingerprint:
            raise strict.wrong(
                where, f"fingerprint {identity.fingerprint}", repr(value["fingerprint"])
            )
        shard_rows = strict.count(value["shard_rows"], where)
        if not isinstance(value["about"], dict) or shard_rows < 1:
            raise strict.wrong(where, "an object about, shard_rows > 0", shard_rows)
        return cls(identity, shard_rows, value["about"])


def read_versioned(data: bytes, where: object, limit_bytes: int) -> Any:
    """The value of a canonical JSON file of this format version."""
    value = loads(data, where, limit_bytes)
    check_version(value, where)
    return value


def check_version(value: Any, where: object) -> None:
    """Refuse what another version of the format says of itself."""
    found = value.get("format") if isinstance(value, dict) else None
    if type(found) is int and found > FORMAT_VERSION:
        raise _newer(where, f"format {found}"[:60], f"format {FORMAT_VERSION}")
    if type(found) is not int or found != FORMAT_VERSION:
        raise strict.wrong(where, f"format {FORMAT_VERSION}", repr(found)[:60])


def _newer(where: object, found: str, expected: str) -> VersionError:
    return VersionError(
        where, expected=expected, found=found, do="upgrade mixkd to read this cache"
    )


def _split(value: Any, where: object) -> Split:
    value = strict.table(value, where, ["name", "rows", "texts_sha256", "ids_sha256"])
    return Split(
        strict.text(value["name"], where, SPLIT_NAME),
        strict.count(value["rows"], where),
        strict.text(value["texts_sha256"], where, strict.SHA256),
        strict.text(value["ids_sha256"], where, strict.SHA256),
    )


def _written_as_float(value: Any, where: object) -> float:
    """1.0 and not 1: equal numbers have one text, so that equal identities have one fingerprint."""
    number = strict.number(value, where)
    if type(value) is not float:
        raise strict.wrong(where, "a fraction such as 0.4 or 1.0", repr(value)[:80])
    return number


def _short(value: Any) -> str:
    """A value on one line; of a digest the first digits."""
    text = "absent" if value is None else str(value)
    return text[:12] if strict.SHA256.fullmatch(text) else text[:80]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested JSON as dotted names -> leaves."""
    if isinstance(value, dict):
        items = [(f"{prefix}{key}", item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [(f"{prefix}{item.get('name')}", item) for item in value]
    else:
        return {prefix.rstrip("."): value}
    return {key: leaf for name, item in items for key, leaf in _flat(item, f"{name}.").items()}
