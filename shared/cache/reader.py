"""Reading a cache: MANIFEST first, then every covered file's digest before its first use."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mixkd.shared import files
from mixkd.shared.cache.agreement import check_agreement, covered_file
from mixkd.shared.cache.codecs.base import Columns
from mixkd.shared.cache.folder import FILE_LIMIT_BYTES, GET_AGAIN, CacheFolder, check_digest
from mixkd.shared.cache.header import About, CoveredFile, Header, Identity, labelled_note
from mixkd.shared.cache.kept import decode_kept, kept_path
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.rows import rows_by_split
from mixkd.shared.cache.scores import split_scores
from mixkd.shared.cache.seal import MANIFEST, Seal, seal_name
from mixkd.shared.cache.starts import Layers, layers_of, listed, start_name
from mixkd.shared.errors import AlignmentError, MalformedError, UsageError
from mixkd.shared.examples import Examples
from mixkd.shared.json_values import COUNT_LIMIT
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION
from mixkd.shared.pairs import PairTable
from mixkd.shared.places import check_cache
from mixkd.shared.publish import is_temporary

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

SCORE_TOLERANCE = 1e-9
TOKENIZER = "tokenizer"


class Cache:
    """A sealed cache, opened for reading. Nothing in it is written, and only sealed files are read.

    Attributes:
        root: The cache's folder.
        header: What `cache.json` says.
        seal: What is complete, and the digests of everything.
        pin: The sha256 of the seal, which `sha256sum MANIFEST.json` prints.
    """

    def __init__(self, folder: CacheFolder, header: Header, seal: Seal, pin: str) -> None:
        self.root = folder.root
        self.header = header
        self.seal = seal
        self.pin = pin
        self._folder = folder
        self._checked: set[str] = set()
        self._examples: dict[str, Examples] = {}

    @classmethod
    def open(cls, root: str | Path, pin: str | None = None) -> Cache:
        """Open the cache at its longest seal, or at the seal with this pin.

        Raises:
            MissingFileError, UnsealedError, VersionError, MalformedError, DamagedFileError,
                AlignmentError: Naming the file and what to do.
        """
        root = Path(root)
        check_cache(root)
        folder = CacheFolder(root)
        seal, found = folder.seal(seal_name(pin)) if pin else folder.manifest()
        return cls.of(folder, folder.header(), seal, found)

    @classmethod
    def of(cls, folder: CacheFolder, header: Header, seal: Seal, pin: str) -> Cache:
        """Open the cache at a seal, on the disk or not, which must agree with `cache.json`.

        Raises:
            MissingFileError, MalformedError, DamagedFileError, AlignmentError: Naming the file and
                what to do.
        """
        check_agreement(folder, header, seal)
        return cls(folder, header, seal, pin)

    def __repr__(self) -> str:
        splits = ", ".join(
            f"{split.rows:,} {split.name}{labelled_note(split.rows, split.labelled)}"
            for split in self.identity.splits
        )
        kind, count = self.identity.problem_type, self.identity.classes
        several = f"{count} labels, any number per row"
        classes = {MULTI_LABEL: several, REGRESSION: "regression"}.get(kind, f"{count} classes")
        pairs = f"{self.seal.rows.pairs:,} pairs"
        return f"Cache({str(self.root)!r}: {splits}, {pairs}, {classes}, pin {self.pin[:12]})"

    @property
    def identity(self) -> Identity:
        """What this is a cache of."""
        return self.header.identity

    @property
    def about(self) -> About:
        """Free text for people."""
        return self.header.about

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, train first."""
        return tuple(split.name for split in self.identity.splits)

    @property
    def pair_records(self) -> tuple[Record, ...]:
        """The records of the pairs' shards, in order."""
        return self.seal.records("pairs")

    @property
    def name(self) -> str:
        """A short name for logs: the folder's and the fingerprint's first digits."""
        return f"{self.root.resolve().name}-{self.identity.fingerprint[:8]}"

    def examples(self, split: str = "train") -> Examples:
        """Return the examples of a split, memory-mapped after their digest was checked, once."""
        if split not in self._examples:
            self._examples[split] = self._open_examples(split)
        return self._examples[split]

    def columns(self, split: str = "train") -> pa.Table:
        """Return the columns of the data that were kept (`--keep-columns`), row i of example i.

        Raises:
            UsageError: If the cache has none.
        """
        path = kept_path(split, self.header.columns, self.root)
        return decode_kept(*self._covered_table(path, split), self.header.columns)

    def logits(self, split: str = "train") -> npt.NDArray[np.float32]:
        """Return the teacher's raw logits on the examples of a split, float32 [n, C]."""
        return self._originals[split]

    def pairs(self, start: int = 0, stop: int | None = None) -> PairTable:
        """Return rows [start, stop) of the pairs with the teacher's logits on their mixes.

        Returns:
            left, right: uint32 [n], ids of train examples. lam: float32 [n], the weight of the left
            side. logits: [n, C] in the cache's dtype.
        """
        stop = self.seal.rows.pairs if stop is None else min(stop, self.seal.rows.pairs)
        tables = [PairTable.none(self.identity.classes, self.identity.logits_dtype)]
        for first, table in self._pair_tables(start, stop):
            tables.append(table[max(0, start - first) : stop - first])
        return PairTable.concatenate(tables)

    def read(self, record: Record) -> Columns:
        """Return the columns of a shard, read whole and decoded from the very bytes checked.

        Returns:
            pairs: left, right uint32 [n], lam float32 [n], logits [n, C]. originals: split int8
            [n], example uint32 [n], logits [n, C]. Read-only arrays.
        """
        return self._folder.shard(record, self.identity)

    def to_dataset(self, name: str = "train") -> datasets.Dataset:
        """Return a split or the pairs, with the teacher's logits, without copying a column.

        Args:
            name: A split, or "pairs".

        Raises:
            UsageError: If there is no such split.
        """
        from mixkd.shared.cache.dataset import pairs_dataset, split_dataset

        if name == "pairs":
            return pairs_dataset([table for _, table in self._pair_tables()] or [self.pairs()])
        if name not in self.splits:
            known = f"one of {', '.join((*self.splits, 'pairs'))}"
            raise UsageError("to_dataset", expected=known, found=name, do="choose one of these")
        kept = self.columns(name) if self.header.columns else None
        rows = self.examples(name), self.logits(name)
        return split_dataset(*rows, self.identity.label_names, kept)

    def check_alignment(self) -> dict[str, dict[str, float]]:
        """Recompute the scores of the stored logits joined with the stored labels.

        Returns:
            split -> metric -> score, equal to the sealed ones. A train split without any label has
            none.

        Raises:
            AlignmentError: If they differ by more than 1e-9.
        """
        examples = {split: self.examples(split) for split in self.splits}
        logits = {split: self.logits(split) for split in self.splits}
        joined = split_scores(examples, logits, self.identity.problem_type)
        for split, found in joined.items():
            sealed = self.seal.scores.get(split, {})
            for name, score in found.items():
                if not abs(sealed.get(name, np.inf) - score) <= SCORE_TOLERANCE:
                    raise AlignmentError(
                        self.root / MANIFEST,
                        expected=f"{split} {name} {sealed.get(name)} as sealed",
                        found=f"{score} from the stored logits and labels",
                        do="do not train on this cache: its logits belong to different examples",
                    )
        return joined

    @cached_property
    def starts(self) -> tuple[Layers, ...]:
        """The teacher's layers of each starting point that the cache holds, the deepest last."""
        folders = {Path(f.path).parts[1] for f in self.seal.files if "student_init/" in f.path}
        return tuple(sorted(map(layers_of, folders), key=lambda layers: (len(layers), layers)))

    def student_folder(self, layers: int | Sequence[int] | None = None) -> Path:
        """Return the folder of a starting point (see `start`), its files checked.

        They may change until they are opened: what a stranger's cache holds is read from
        `student_files`.
        """
        return self._covered_folder(self._start_folder(layers))

    def tokenizer_folder(self) -> Path:
        """Return the folder of the teacher's tokenizer, its files checked."""
        return self._covered_folder(TOKENIZER)

    def student_files(self, layers: int | Sequence[int] | None = None) -> dict[str, bytes]:
        """Return the files of a starting point (see `start`): the very bytes checked."""
        return self._covered_files(self._start_folder(layers))

    def tokenizer_files(self) -> dict[str, bytes]:
        """Return the files of the teacher's tokenizer by name: the very bytes checked."""
        return self._covered_files(TOKENIZER)

    def start(self, layers: int | Sequence[int] | None = None) -> Layers:
        """Choose a starting point.

        Args:
            layers: How many, or which of the teacher's layers; None takes the deepest start.

        Raises:
            UsageError: If the cache has none, or several of that depth.
        """
        wanted = tuple(layers) if isinstance(layers, Sequence) else layers
        if wanted is None and self.starts:
            wanted = len(self.starts[-1])
        found = [each for each in self.starts if wanted in (each, len(each))]
        if len(found) != 1:
            depths = [len(each) for each in self.starts]
            names = [
                str(len(each)) if depths.count(len(each)) == 1 else listed(each)
                for each in found or self.starts
            ]
            raise UsageError(
                "--layers",
                expected=f"one of {', '.join(names) or 'none'} (what {self.root} holds)",
                found=(listed(wanted) if isinstance(wanted, tuple) else wanted)
                or "no starting point",
                do="choose one of these, or name a model with --student",
            )
        return found[0]

    def _start_folder(self, layers: int | Sequence[int] | None) -> str:
        return f"student_init/{start_name(self.start(layers))}"

    def _pair_tables(
        self, start: int = 0, stop: int = COUNT_LIMIT
    ) -> Iterator[tuple[int, PairTable]]:
        """Give the shards of pairs that hold rows of [start, stop), with their first rows."""
        for record in self.pair_records:
            if record.start < stop and record.stop > start:
                (rows,) = rows_by_split(self.identity, self.read(record))
                yield record.start, rows.pairs

    @cached_property
    def _originals(self) -> dict[str, npt.NDArray[np.float32]]:
        return self._folder.originals(self.seal.records("originals"), self.identity)

    def _open_examples(self, split: str) -> Examples:
        where, data, rows = self._covered_table(f"examples/{split}.arrow", split)
        kind, classes = self.identity.problem_type, self.identity.classes
        examples = Examples.from_bytes(data, rows, kind, where, classes)
        labelled = next(s.labelled for s in self.identity.splits if s.name == split)
        examples.check_values(classes, self.identity.max_length, labelled, where)
        return examples

    def _covered_table(self, path: str, split: str) -> tuple[Path, mmap.mmap, int]:
        """Map a split's file after its digest was checked; how many rows it must have."""
        rows = next(s.rows for s in self.identity.splits if s.name == split)
        file, where = covered_file(self.seal, path, self.root), self.root / path
        size = file.size_bytes
        data = files.mapped(self.root, path, limit_bytes=FILE_LIMIT_BYTES, size_bytes=size)
        check_digest(where, hashlib.sha256(data).hexdigest(), file.sha256, GET_AGAIN)
        return where, data, rows

    def _covered_folder(self, name: str) -> Path:
        """Check the files of a covered folder once, for who hands its path to a library."""
        for file in self._files_of(name):
            if file.path not in self._checked:
                self._folder.check_file(file)
                self._checked.add(file.path)
        return self.root / name

    def _covered_files(self, name: str) -> dict[str, bytes]:
        """Read the files of a covered folder, by their names in it."""
        return {Path(file.path).name: self._folder.covered(file) for file in self._files_of(name)}

    def _files_of(self, name: str) -> list[CoveredFile]:
        """Find what the seal has of a folder, which may hold no other file a loader could find."""
        covered = [file for file in self.seal.files if file.path.startswith(f"{name}/")]
        # A killed builder may have left a temporary file: no loader looks for such a name.
        present = (path.name for path in (self.root / name).glob("*"))
        found = sorted(entry for entry in present if not is_temporary(entry))
        expected = sorted(Path(file.path).name for file in covered)
        if found != expected:
            raise MalformedError(
                self.root / name,
                expected=f"the files {', '.join(expected)}",
                found=", ".join(found) or "none",
                do="remove what the seal does not name, or get the cache again",
            )
        return covered
