"""A cache while it is written: created, extended by whole shards, sealed.

A shard is the unit of work and of commit: it is published, then its record, exclusively; of several
builders one wins. The disk is read once, into one snapshot of the records; later only what is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixkd.shared import plan, publish
from mixkd.shared.arrays import RowRange
from mixkd.shared.arrow_ipc import content_of
from mixkd.shared.cache import sealing
from mixkd.shared.cache.codecs import CODECS
from mixkd.shared.cache.codecs.base import KINDS, Columns, KindName, columns_equal
from mixkd.shared.cache.discard import discard_shard
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import HEADER, CoveredFile, Draft, Header, Identity
from mixkd.shared.cache.kept import FOLDER, KeptColumn
from mixkd.shared.cache.records import COMMITS, Made, Record, record_name, shard_name
from mixkd.shared.cache.seal import SEALS, Seal
from mixkd.shared.content import Content
from mixkd.shared.errors import DamagedFileError, DifferentCacheError, DiskError, OutputError
from mixkd.shared.examples import Examples
from mixkd.shared.json_values import sha256_hex


class CacheWriter:
    """A cache that is being built. One per process; several processes may write one cache.

    Attributes:
        folder: Where the cache lies.
        header: What `cache.json` says.
    """

    def __init__(self, folder: CacheFolder, header: Header) -> None:
        self.folder = folder
        self.header = header
        self._records: dict[str, Record] = {}
        self._seals: dict[str, Seal] = {}
        self.refresh()

    @classmethod
    def open(cls, root: Path) -> CacheWriter:
        """Open a cache to continue or extend it, whether it is sealed or not.

        Raises:
            OutputError: If a record is of a different cache.
            MixkdError: If a file cannot be read, naming it.
        """
        folder = CacheFolder(root)
        return cls(folder, folder.header())

    @classmethod
    def create(
        cls, root: Path, draft: Draft, examples: dict[str, Examples], files: dict[str, bytes]
    ) -> CacheWriter:
        """Publish what all shards refer to, each file exclusively, `cache.json` last.

        Args:
            examples: Split name -> examples, with the columns to keep.
            files: Path -> content of what lies under `tokenizer/` and `student_init/`.

        Raises:
            OutputError: If a different file is there already.
            MalformedError: If the header is one that no reader would take.
        """
        contents = {f"examples/{split}.arrow": rows.content() for split, rows in examples.items()}
        for split, rows in examples.items():
            if rows.kept is not None:
                contents[f"{FOLDER}/{split}.arrow"] = content_of(rows.kept)
        contents |= {name: Content.of_bytes(data) for name, data in files.items()}
        covered = [
            CoveredFile(path=path, size_bytes=content.size_bytes, sha256=content.sha256)
            for path, content in contents.items()
        ]
        header = Header.of(draft, tuple(sorted(covered)))
        Header.from_bytes(header.to_bytes(), root / HEADER)  # what no reader takes is not begun
        disk = publish.Root(root)
        for name, content in contents.items():
            if not disk.create_large(name, content):
                raise _taken(root / name)
        actual = disk.create(HEADER, header.to_bytes())
        if actual is not None and not _like(Header.from_bytes(actual, root / HEADER), header):
            raise _taken(root / HEADER)
        return cls.open(root)

    @property
    def identity(self) -> Identity:
        """What this is a cache of."""
        return self.header.identity

    def refresh(self) -> None:
        """Read the records that appeared since the last look, and forget those that are gone."""
        names = self.folder.names(COMMITS)
        for name in names:
            if name not in self._records:
                self._add(self.folder.record(name))
        self._records = {name: self._records[name] for name in names}

    def records(self, kind: KindName) -> list[Record]:
        """Return the records of a kind that are known, by row."""
        found = [record for record in self._records.values() if record.kind == kind]
        return sorted(found, key=lambda record: record.start)

    def gaps(self, kind: KindName, target: int) -> list[RowRange]:
        """Return the ranges of rows below `target` that are not committed, cut into shards."""
        committed = ((record.start, record.stop) for record in self.records(kind))
        return plan.gaps(committed, target, self.header.shard_rows)

    def missing(self, wanted: Mapping[KindName, int]) -> int:
        """Count the rows that are not committed, of those below the wanted number of each kind."""
        gaps = (gap for kind, rows in wanted.items() for gap in self.gaps(kind, rows))
        return sum(stop - start for start, stop in gaps)

    def is_committed(self, kind: KindName, start: int) -> bool:
        """Look whether the disk has a record of the shard from `start` on, read or not."""
        return (self.folder.root / record_name(kind, start)).exists()

    def commit(self, kind: KindName, rows: RowRange, columns: Columns, made: Made) -> bool:
        """Publish a shard and then its record.

        Returns:
            False if another builder committed these rows first: its shard stays, this one goes.

        Raises:
            DiskError: If the shard cannot be written or is read back differently.
        """
        root, codec = self.folder.root, CODECS[self.header.shard_format]
        layout = self.identity.layout(kind, *rows)
        data = codec.encode(layout, columns)
        sha256 = sha256_hex(data)
        name = shard_name(kind, rows[0], sha256, codec.suffix)

        def check(written: bytes) -> None:
            if not columns_equal(codec.decode(layout, written, root / name), columns):
                raise DiskError(
                    root / name,
                    expected="the rows that were computed",
                    found="different values when the shard was read back",
                    do="check memory and disk; nothing was committed",
                )

        record = Record(
            format=self.header.format,
            fingerprint=layout.fingerprint,
            kind=layout.kind,
            start=rows[0],
            stop=rows[1],
            file=name,
            size_bytes=len(data),
            sha256=sha256,
            made=made,
        )
        disk = publish.Root(root)
        disk.replace(name, data, check)
        other = disk.create(record.name, record.to_bytes())
        first = record if other is None else Record.from_bytes(other, root / record.name)
        if first.file != name:
            discard_shard(self.folder, name)
        elif not (root / name).exists():
            disk.replace(name, data, check)  # a repair took what had no record yet
        self._add(first)
        return other is None

    def check_same(self, draft: Draft) -> None:
        """Compare what a build wants with what the cache is.

        Raises:
            DifferentCacheError: Naming the fields that differ.
        """
        differences = draft.identity.differences(self.identity)
        differences += [
            f"{name} {asked} (there: {stored})"
            for name, asked, stored in (
                ("shard_rows", draft.shard_rows, self.header.shard_rows),
                ("format", draft.shard_format, self.header.shard_format),
                ("columns", _listed(draft.columns), _listed(self.header.columns)),
            )
            if asked != stored
        ]
        if differences:
            raise DifferentCacheError(
                self.folder.root,
                expected="no cache, or one of the same identity",
                found=f"one that differs in {'; '.join(differences)}",
                do="choose another --out, or repeat the settings that it was made with",
            )

    def check_unchanged(self) -> None:
        """Compare everything that a seal covers with the header and with the longest seal.

        Raises:
            DamagedFileError: If a published file changed: damage must not be sealed.
        """
        self._read_seals()
        present = sealing.covered_paths(self.folder)
        expected = [file.path for file in self.header.files]
        for path in sorted(set(present) ^ set(expected)):
            raise DamagedFileError(
                self.folder.root / path,
                expected="a file" if path in expected else f"only the files that {HEADER} names",
                found="none" if path in expected else "one that it does not name",
                do="get the file again from where the cache was made, or build with another --out",
            )
        for file in self.header.files:
            self.folder.check_file(file)
        if self._seals:
            name, seal = sealing.longest(self._seals)
            self._compare(name, seal)

    def seal(self) -> str:
        """Seal the complete prefix of what is committed; a no-op where the same seal is there.

        Returns:
            The pin of the longest seal, which may be another builder's.

        Raises:
            UnsealedError: If not all originals are committed.
        """
        self.refresh()
        self.check_unchanged()
        made = sealing.make(self.folder, self.header, {kind: self.records(kind) for kind in KINDS})
        sealing.publish_seal(self.folder, made)
        cache = sealing.publish_longest(self.folder, self._seals)
        sealing.describe(cache)
        return cache.pin

    def _add(self, record: Record) -> None:
        check_owner(self.folder.root, record, self.identity)
        self._records[record.name] = record

    def _read_seals(self) -> None:
        for name in self.folder.names(SEALS):
            if name not in self._seals:
                self._seals[name], _ = self.folder.seal(name)

    def _compare(self, name: str, older: Seal) -> None:
        """Compare with an older seal: a new one must not bless what the older one refuses."""
        sealed = {record.name: record for record in older.shards}
        for record in self._records.values():
            if sealed.get(record.name, record) != record:
                raise DamagedFileError(
                    self.folder.root / record.name,
                    expected=f"the record that {name} has",
                    found="a different one",
                    do="run: cache-teacher repair, then build again",
                )
        for file in older.files:
            if file.path == HEADER:
                self.folder.check_file(file)
            elif file not in self.header.files:
                raise DamagedFileError(
                    self.folder.root / HEADER,
                    expected=f"the digest of {file.path} that {name} has",
                    found="a different one",
                    do="get the file again from where the cache was made, or build with another "
                    "--out",
                )


def check_owner(root: Path, record: Record, identity: Identity) -> None:
    """Refuse a record of a different cache.

    Raises:
        OutputError: Naming both fingerprints.
    """
    if record.fingerprint != identity.fingerprint:
        raise OutputError(
            root / record.name,
            expected=f"a record of the cache {identity.fingerprint[:12]}",
            found=f"one of {record.fingerprint[:12]}",
            do="run: cache-teacher repair",
        )


def _taken(path: Path) -> OutputError:
    return OutputError(
        path,
        expected="no file, or the one that this build would write",
        found="a different one, from a build with different settings",
        do="choose another --out, or remove this folder if no build is running",
    )


def _listed(columns: Sequence[KeptColumn]) -> str:
    return ", ".join(f"{column.name} ({column.type})" for column in columns) or "none"


def _like(actual: Header, wanted: Header) -> bool:
    """Compare another builder's header with this one's: identity, files and cuts."""
    return (actual.identity, actual.files, actual.shard_rows, actual.shard_format) == (
        wanted.identity,
        wanted.files,
        wanted.shard_rows,
        wanted.shard_format,
    )
