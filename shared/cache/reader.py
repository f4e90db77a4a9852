"""Reading a cache: MANIFEST first, then every covered file's digest before its first use."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixkd.shared import files
from mixkd.shared.cache import codecs as shards
from mixkd.shared.cache.header import CacheFile, Identity, Split
from mixkd.shared.cache.layout import SHARD_LIMIT_BYTES, Columns, check_values
from mixkd.shared.cache.seal import JSON_LIMIT_BYTES, SEAL_LIMIT_BYTES, CoveredFile, Record, Seal
from mixkd.shared.canonical import sha256_hex
from mixkd.shared.errors import (
    AlignmentError,
    DamagedFileError,
    MalformedError,
    MissingFileError,
    UnsealedError,
    UsageError,
)
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import metrics
from mixkd.shared.publish import is_temporary

FILE_LIMIT_BYTES = 2**36
SHARD_OVERHEAD_BYTES = 128 * 2**10  # of both formats' headers and footers, with room to spare
SCORE_TOLERANCE = 1e-9
REPAIR = "run: cache-teacher repair, then build again; or get the file again"
GET_AGAIN = "get the file again from where the cache was made"


class Cache:
    """A sealed cache, opened for reading. Nothing in it is written, and no file but the named ones
    is opened."""

    def __init__(self, root: Path, seal: Seal, file: CacheFile) -> None:
        self.root = root
        self.seal = seal
        self.file = file
        self._checked: set[str] = set()
        self._examples: dict[str, Examples] = {}

    @classmethod
    def open(cls, root: str | Path, seal: str | None = None) -> Cache:
        """Open the cache at its longest seal, or at the seal of a digest.

        Raises:
            MissingFileError, UnsealedError, VersionError, MalformedError, DamagedFileError: Naming
                the file and what to do.
        """
        root = Path(root)
        if not root.is_dir():
            raise MissingFileError(
                root,
                expected="the folder of a cache",
                found="a file" if root.exists() else "nothing",
                do="make one with: cache-teacher --task TASK --pairs N",
            )
        opened = read_seal(root, f"seals/{seal[:12]}.json" if seal else "MANIFEST.json")
        if seal and opened.digest != seal:
            raise MalformedError(
                root / opened.name,
                expected=f"the seal {seal}",
                found=opened.digest,
                do="run: cache-teacher verify",
            )
        cache = cls(root, opened, read_cache_file(root))
        cache._check_seal()
        return cache

    @property
    def identity(self) -> Identity:
        return self.file.identity

    @property
    def about(self) -> dict[str, object]:
        return self.file.about

    @property
    def pair_records(self) -> tuple[Record, ...]:
        return self.seal.records("pairs")

    @property
    def name(self) -> str:
        """A short name for logs: the folder's and the fingerprint's first digits."""
        return f"{self.root.resolve().name}-{self.identity.fingerprint[:8]}"

    @property
    def train(self) -> Examples:
        return self.examples("train")

    def examples(self, split: str) -> Examples:
        """The examples of a split, memory-mapped after their digest was checked, once."""
        if split not in self._examples:
            self._examples[split] = self._open_examples(split)
        return self._examples[split]

    def _open_examples(self, split: str) -> Examples:
        row_count = next(s.rows for s in self.identity.splits if s.name == split)
        covered = self._covered(f"examples/{split}.arrow")
        where = self.root / covered.file
        data = files.mapped(
            self.root,
            covered.file,
            limit_bytes=FILE_LIMIT_BYTES,
            size_bytes=covered.size_bytes,
        )
        _check_digest(where, hashlib.sha256(data).hexdigest(), covered.sha256, GET_AGAIN)
        examples = Examples.from_bytes(data, row_count, self.identity.problem_type, where)
        examples.check_values(self.identity.classes, where)
        return examples

    def read(self, record: Record) -> Columns:
        """The columns of a shard: read whole, checked and decoded from the very bytes checked.

        Returns:
            pairs: left, right uint32 [n], lam float32 [n], logits [n, C]. originals: split int8
            [n], example uint32 [n], logits [n, C]. Read-only arrays.
        """
        return read_shard(self.root, record, self.identity)

    def originals(self) -> dict[str, npt.NDArray[np.float32]]:
        """The teacher's logits on each split's examples, float32 [n, C], read once."""
        return self._originals

    @cached_property
    def _originals(self) -> dict[str, npt.NDArray[np.float32]]:
        return read_originals(self.root, self.seal.records("originals"), self.identity)

    def check_alignment(self) -> dict[str, dict[str, float]]:
        """Recompute the scores of the stored logits joined with the stored labels.

        Returns:
            split -> metric -> score, equal to the sealed ones.

        Raises:
            AlignmentError: If they differ by more than 1e-9.
        """
        joined = {
            split: metrics(logits, self.examples(split).labels, self.identity.problem_type)
            for split, logits in self.originals().items()
        }
        for split, scores in joined.items():
            sealed = self.seal.scores.get(split, {})
            for name, score in scores.items():
                if not abs(sealed.get(name, np.inf) - score) <= SCORE_TOLERANCE:
                    raise AlignmentError(
                        self.root / "MANIFEST.json",
                        expected=f"{split} {name} {sealed.get(name)} as sealed",
                        found=f"{score} from the stored logits and labels",
                        do="do not train on this cache: its logits belong to other examples",
                    )
        return joined

    @property
    def student_depths(self) -> tuple[int, ...]:
        """Layers of the starting points that the cache holds, ascending."""
        folders = {Path(f.file).parts[1] for f in self.seal.files if "student_init/" in f.file}
        return tuple(sorted(int(folder.removesuffix("-layers")) for folder in folders))

    def student_folder(self, layers: int | None = None) -> Path:
        """The folder of a starting point, the deepest by default, its files' digests checked."""
        depths = self.student_depths
        layers = max(depths, default=0) if layers is None else layers
        if layers not in depths:
            raise UsageError(
                "--layers",
                expected=f"one of {', '.join(map(str, depths)) or 'none'} (what {self.root} holds)",
                found=layers or "no starting point",
                do="choose one of these, or name a model with --student",
            )
        return self._folder(f"student_init/{layers}-layers")

    def tokenizer_folder(self) -> Path:
        """The folder of the teacher's tokenizer, its files' digests checked."""
        return self._folder("tokenizer")

    def _folder(self, name: str) -> Path:
        """A covered folder: the sealed files, checked, and no other file a loader could find."""
        covered = [file for file in self.seal.files if file.file.startswith(f"{name}/")]
        # A killed builder may have left a temporary file: no loader looks for such a name.
        present = (path.name for path in (self.root / name).glob("*"))
        found = sorted(entry for entry in present if not is_temporary(entry))
        wanted = sorted(Path(file.file).name for file in covered)
        if found != wanted:
            raise MalformedError(
                self.root / name,
                expected=f"the files {', '.join(wanted)}",
                found=", ".join(found) or "none",
                do="remove what the seal does not name, or get the cache again",
            )
        for file in covered:
            if file.file not in self._checked:
                check_file(self.root, file)
                self._checked.add(file.file)
        return self.root / name

    def _covered(self, name: str) -> CoveredFile:
        for file in self.seal.files:
            if file.file == name:
                return file
        raise MalformedError(
            self.root / "MANIFEST.json",
            expected=f"{name} among the sealed files",
            found="no such entry",
            do="do not use this cache; build it again",
        )

    def _check_seal(self) -> None:
        """The seal against cache.json."""
        check_file(self.root, self._covered("cache.json"))
        expected = (self.identity.fingerprint, self.identity.originals)
        found = (self.seal.fingerprint, self.seal.originals)
        if found != expected:
            raise MalformedError(
                self.root / "MANIFEST.json",
                expected=f"fingerprint and original rows of cache.json, {expected}",
                found=found,
                do="run: cache-teacher verify",
            )
        check_record_sizes(self.root, self.seal.shards, self.identity)


def read_cache_file(root: Path) -> CacheFile:
    data = files.read(root, "cache.json", limit_bytes=SEAL_LIMIT_BYTES)
    return CacheFile.from_bytes(data, root / "cache.json")


def names_in(root: Path, folder: str) -> list[str]:
    """The names of all records (`commits`) or seals (`seals`), whatever is in them, in order."""
    return sorted(f"{folder}/{path.name}" for path in (root / folder).glob("*.json"))


def read_record(root: Path, name: str) -> Record:
    record = Record.from_bytes(files.read(root, name, limit_bytes=JSON_LIMIT_BYTES), root / name)
    if record.name != name:
        raise MalformedError(
            root / name,
            expected=f"the record of rows from {record.name}",
            found="a file of another name",
            do="run: cache-teacher repair",
        )
    return record


def read_seal(root: Path, name: str) -> Seal:
    """The seal in `MANIFEST.json` or `seals/`."""
    try:
        data = files.read(root, name, limit_bytes=SEAL_LIMIT_BYTES)
    except MissingFileError:
        raise UnsealedError(
            root / name,
            expected="a seal",
            found="none: the cache is not finished, or this is no cache",
            do="finish the build, or seal what is complete with: cache-teacher seal DIR",
        ) from None
    return Seal.from_bytes(data, root / name)


def read_shard(root: Path, record: Record, identity: Identity) -> Columns:
    """A shard's columns from its verified bytes, with values in their ranges."""
    where = root / record.file
    check_record_sizes(root, (record,), identity)
    data = files.read(
        root, record.file, limit_bytes=SHARD_LIMIT_BYTES, size_bytes=record.size_bytes
    )
    _check_digest(where, sha256_hex(data), record.sha256)
    layout = identity.layout(record.kind, record.start, record.stop)
    columns = shards.decode(record.shard_format, layout, data, where)
    check_values(columns, identity.train_rows, where)
    return columns


def read_originals(
    root: Path, records: tuple[Record, ...], identity: Identity
) -> dict[str, npt.NDArray[np.float32]]:
    """split -> float32 [n, C], from records that cover all originals in order."""
    parts = [read_shard(root, record, identity) for record in records]
    if any((np.concatenate([p[k] for p in parts]) != v).any() for k, v in _keys(identity).items()):
        raise MalformedError(
            root / "data",
            expected="every example of every split once, in order",
            found="originals of another order",
            do="do not use this cache; build it again",
        )
    logits = np.concatenate([part["logits"] for part in parts]).astype(np.float32)
    stops = np.cumsum([split.rows for split in identity.splits])[:-1]
    return dict(zip((s.name for s in identity.splits), np.split(logits, stops), strict=True))


def _keys(identity: Identity) -> Columns:
    """The key columns of all originals."""
    rows = [split.rows for split in identity.splits]
    return {
        "split": np.repeat(np.arange(len(rows), dtype=np.int8), rows),
        "example": np.concatenate([np.arange(n, dtype=np.uint32) for n in rows]),
    }


def read_unsealed_examples(root: Path, identity: Identity) -> dict[str, Examples]:
    """The examples of a cache that may not be sealed yet, by split, compared with its identity."""
    return {split.name: read_split(root, identity, split) for split in identity.splits}


def read_split(root: Path, identity: Identity, split: Split) -> Examples:
    """The examples of a split, which must be those that the identity was computed from.

    Raises:
        DamagedFileError: If ids, labels or texts are others.
    """
    name = f"examples/{split.name}.arrow"
    where = root / name
    data = files.read(root, name, limit_bytes=FILE_LIMIT_BYTES)
    examples = Examples.from_bytes(data, split.rows, identity.problem_type, where)
    examples.check_values(identity.classes, where)
    _check_digest(where, examples.ids_sha256(), split.ids_sha256, GET_AGAIN)
    if (texts_sha256 := examples.texts_sha256()) is not None:
        _check_digest(where, texts_sha256, split.texts_sha256, GET_AGAIN)
    return examples


def original_keys(identity: Identity, start: int, stop: int) -> Columns:
    """The key columns of rows [start, stop) of the originals: split int8, example uint32."""
    return {name: values[start:stop] for name, values in _keys(identity).items()}


def check_file(root: Path, covered: CoveredFile) -> None:
    """A covered file's size and sha256."""
    found = files.sha256(
        root, covered.file, limit_bytes=FILE_LIMIT_BYTES, size_bytes=covered.size_bytes
    )
    _check_digest(root / covered.file, found, covered.sha256, GET_AGAIN)


def check_record_sizes(root: Path, records: tuple[Record, ...], identity: Identity) -> None:
    """Declared sizes that no shard of so many rows can have, before anything is read."""
    for record in records:
        least = (record.stop - record.start) * identity.layout(record.kind, 0, 1).row_bytes
        most = min(least + SHARD_OVERHEAD_BYTES, SHARD_LIMIT_BYTES)
        if not least <= record.size_bytes <= most:
            raise MalformedError(
                root / record.file,
                expected=f"between {least} and {most} bytes for its rows",
                found=f"{record.size_bytes} bytes in its record",
                do="do not use this cache; build it again",
            )


def _check_digest(where: object, found: str, expected: str, do: str = REPAIR) -> None:
    if found != expected:
        raise DamagedFileError(
            where,
            expected=f"sha256 {expected[:12]}…",
            found=f"{found[:12]}…: the content was changed",
            do=do,
        )
