"""The header of a cache, `cache.json`: what it is a cache of, and what its first build decided."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec

from mixkd.shared.cache.codecs import CODECS
from mixkd.shared.cache.codecs.base import KINDS, SHARD_LIMIT_BYTES, KindName, Layout
from mixkd.shared.cache.kept import KeptColumns, check_kept
from mixkd.shared.cache.starts import START_PATTERN
from mixkd.shared.cache.versions import decode_versioned, newer
from mixkd.shared.errors import MalformedError, UsageError
from mixkd.shared.json_values import (
    COUNT_LIMIT,
    Count,
    Sha256,
    Value,
    dumps,
    malformed,
    sha256_hex,
)
from mixkd.shared.metrics import REGRESSION, metric_names
from mixkd.shared.mixup import MaskRule
from mixkd.shared.plan import PLAN_VERSION

HEADER = "cache.json"
HEADER_LIMIT_BYTES = 16 * 2**20
CLASSES_LIMIT = 65_536
SPLITS_LIMIT = 127  # numbered in an int8 column
TRAIN_LIMIT = 2**32  # numbered in uint32 columns
SHARDS_LIMIT = 2**16  # of up to 1 KiB each in the largest seal
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
SplitName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_]{0,40}\Z")]
CoveredPath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(cache\.json|(examples|columns)/[a-z0-9_]+\.arrow"
        rf"|(tokenizer|student_init/{START_PATTERN})/"
        r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\.(json|txt|model|safetensors))\Z"
    ),
]
Whole = Annotated[int, msgspec.Meta(ge=-COUNT_LIMIT, le=COUNT_LIMIT)]
Fact = Annotated[str, msgspec.Meta(max_length=10_000)] | bool | Whole | float
About = Annotated[dict[str, Fact], msgspec.Meta(max_length=1000)]


class CoveredFile(Value, frozen=True, kw_only=True, order=True):
    """Size and sha256 of a file that a reader uses beside the shards."""

    path: CoveredPath
    size_bytes: Count = msgspec.field(name="bytes")
    sha256: Sha256


class Split(Value, frozen=True, kw_only=True):
    """One split; the digests are over its texts and over its ids, labels included.

    Attributes:
        labelled: Rows that have a label; all of them but in train.
    """

    name: SplitName
    rows: Positive
    labelled: Count
    texts_sha256: Sha256
    ids_sha256: Sha256


def labelled_note(rows: int, labelled: int) -> str:
    """Say how many rows have a label, for behind their number; nothing where all have one."""
    return f" ({labelled:,} labelled)" if labelled < rows else ""


class TeacherIdentity(Value, frozen=True, kw_only=True):
    """The teacher: sha256 over its files; for each class of the cache, the teacher's label.

    Where the logits were given (`source` is "logits"), sha256 is over what was given.
    """

    source: Literal["model", "logits"]
    sha256: Sha256
    columns: tuple[Count, ...]


class Mixup(Value, frozen=True, kw_only=True):
    """How pairs are drawn and mixed; see `shared/plan.py` and `shared/mixup.py`."""

    site: Literal["input_embeddings"]
    beta: float
    mask: MaskRule
    seed: Count
    partners: Literal["random"]
    plan: int


class Identity(Value, frozen=True, kw_only=True, dict=True):
    """What a cache is a cache of: content only, so that equal content made elsewhere is equal."""

    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"]
    label_names: tuple[str, ...]
    splits: Annotated[tuple[Split, ...], msgspec.Meta(max_length=SPLITS_LIMIT)]
    teacher: TeacherIdentity
    max_length: Positive
    mixup: Mixup
    logits_dtype: Literal["float32", "float16"]

    @property
    def classes(self) -> int:
        """C, the number of logits in a row; 1 for regression."""
        return 1 if self.problem_type == REGRESSION else len(self.label_names)

    @property
    def n_train(self) -> int:
        """The number of train examples."""
        return self.splits[0].rows

    @property
    def n_originals(self) -> int:
        """The number of examples of all splits."""
        return sum(split.rows for split in self.splits)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the canonical identity, which every shard, record and seal repeats."""
        return sha256_hex(dumps(self))

    def layout(self, kind: KindName, start: int, stop: int) -> Layout:
        """Return what a shard of these rows must look like."""
        return Layout(self.fingerprint, kind, start, stop, self.classes, self.logits_dtype)

    def differences(self, other: Identity) -> list[str]:
        """Return `name mine (there: theirs)` for each field that differs."""
        mine, theirs = _flat(msgspec.to_builtins(self)), _flat(msgspec.to_builtins(other))
        return [
            f"{name} {_short(mine.get(name))} (there: {_short(theirs.get(name))})"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]

    def check(self, where: object) -> None:
        """Refuse an identity whose parts contradict each other.

        Raises:
            MalformedError: Naming the parts.
            VersionError: If the pairs follow a later plan.
        """
        if self.mixup.plan != PLAN_VERSION:
            raise newer(where, f"plan {self.mixup.plan}", f"plan {PLAN_VERSION}")
        names = [split.name for split in self.splits]
        if names[:1] != ["train"] or len(set(names)) != len(names) or len(names) < 2:
            raise malformed(where, "splits train and at least one more, each once", names)
        if not 2 <= self.n_train <= TRAIN_LIMIT:
            raise malformed(where, f"two train examples, at most {TRAIN_LIMIT}", self.n_train)
        for split in self.splits:
            some = split.name == "train" and split.labelled < split.rows
            if not some and split.labelled != split.rows:
                most = "at most " * (split.name == "train")
                expected = f"{split.name} with {most}{split.rows} labelled rows"
                raise malformed(where, expected, split.labelled)
        if len(set(self.label_names)) != len(self.label_names):
            raise malformed(where, "distinct label names", f"{len(self.label_names)} names")
        if not 1 <= self.classes <= CLASSES_LIMIT:
            raise malformed(where, f"1 to {CLASSES_LIMIT} distinct label names", self.classes)
        if sorted(self.teacher.columns) != list(range(self.classes)):
            raise malformed(where, f"a permutation of 0..{self.classes - 1}", self.teacher.columns)
        if not self.mixup.beta > 0:
            raise malformed(where, "beta > 0", self.mixup.beta)


class Draft(Value, frozen=True, kw_only=True):
    """What is decided before a cache has any file.

    Attributes:
        shard_rows: Rows of a whole shard.
        metric: The task's headline metric, a name in `shared/metrics.py`.
        columns: Further columns of the data that the cache carries, in order.
        about: Free text for people; it decides nothing.
    """

    identity: Identity
    shard_rows: Positive
    shard_format: Literal["arrow", "hdf5"]
    metric: str
    columns: KeptColumns
    about: About

    def check(self, where: object, pairs: int) -> None:
        """Refuse settings that lead to a cache that no reader takes, before anything is computed.

        Args:
            pairs: How many are wanted.

        Raises:
            UsageError: Naming the setting.
            VersionError: If the pairs follow a later plan.
        """
        try:
            Header.from_bytes(Header.of(self, ()).to_bytes(), where)
        except MalformedError as error:
            raise _unreadable(where, error.expected, error.found) from None
        except ValueError as error:  # not JSON: NaN, infinity, halves of surrogate pairs
            raise _unreadable(where, "numbers and texts that JSON has", error) from None
        rows = min(self.shard_rows, max(pairs, self.identity.n_originals))
        size_bytes = rows * max(self.identity.layout(kind, 0, 1).row_bytes for kind in KINDS)
        limit_bytes = SHARD_LIMIT_BYTES - CODECS[self.shard_format].overhead_bytes
        if size_bytes > limit_bytes:
            most = limit_bytes * rows // size_bytes
            expected = f"shards of at most {SHARD_LIMIT_BYTES} bytes"
            raise _unreadable("--shard-rows", expected, f"{size_bytes}", f"at most {most}")
        of_pairs = SHARDS_LIMIT + self.identity.n_originals // -self.shard_rows
        if pairs > of_pairs * self.shard_rows:
            most = max(0, of_pairs * self.shard_rows)
            expected = f"at most {most} pairs, since a seal lists at most {SHARDS_LIMIT} shards"
            raise _unreadable("--pairs", expected, pairs, "fewer, or larger --shard-rows")


class Header(Draft, frozen=True, kw_only=True):
    """`cache.json`: the draft, and the digests of everything that lies beside the shards."""

    format: Literal[1]
    fingerprint: Sha256
    files: tuple[CoveredFile, ...]

    @classmethod
    def of(cls, draft: Draft, files: tuple[CoveredFile, ...]) -> Header:
        """Return the header of a new cache."""
        values = {name: getattr(draft, name) for name in Draft.__struct_fields__}
        fingerprint = draft.identity.fingerprint
        return cls(**values, format=1, fingerprint=fingerprint, files=files)

    @classmethod
    def from_bytes(cls, data: bytes, where: object) -> Header:
        """Decode and check `cache.json`.

        Raises:
            MalformedError, VersionError: Naming what is wrong.
        """
        header = decode_versioned(data, cls, where, HEADER_LIMIT_BYTES)
        header.identity.check(where)
        if header.fingerprint != header.identity.fingerprint:
            expected = f"fingerprint {header.identity.fingerprint}"
            raise malformed(where, expected, header.fingerprint)
        check_order(header.files, where)
        check_kept(header.columns, where)
        known = metric_names(header.identity.problem_type, header.identity.classes)
        if header.metric not in known:
            raise malformed(where, f"metric {' or '.join(known)}", repr(header.metric)[:80])
        return header

    def to_bytes(self) -> bytes:
        """Return the canonical JSON."""
        return dumps(self)


def check_order(files: tuple[CoveredFile, ...], where: object) -> None:
    """Refuse a list of files that is not in order, each once."""
    paths = [file.path for file in files]
    if paths != sorted(set(paths)):
        raise malformed(where, "files in order, each once", f"{len(paths)} paths")


def _unreadable(
    where: object, expected: str, found: object, do: str = "different settings or data"
) -> UsageError:
    return UsageError(where, expected=expected, found=found, do=f"choose {do}")


def _short(value: Any) -> str:
    """Show a value on one line; of a digest the first digits."""
    text = "absent" if value is None else str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text[:80]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested JSON to dotted names -> leaves."""
    if isinstance(value, dict):
        items = [(f"{prefix}{key}", item) for key, item in value.items()]
    elif isinstance(value, tuple | list) and any(isinstance(item, dict) for item in value):
        items = [(f"{prefix}{item.get('name')}", item) for item in value]
    else:
        return {prefix.rstrip("."): value}
    return {key: leaf for name, item in items for key, leaf in _flat(item, f"{name}.").items()}
