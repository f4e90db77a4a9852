"""The files of one cache on a disk: each read whole, checked, and decoded from the checked bytes.

Reader, writer, verify and repair all look at a cache through this.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mixkd.shared import files
from mixkd.shared.arrays import Logits
from mixkd.shared.cache.codecs.base import SHARD_LIMIT_BYTES, Columns, check_values
from mixkd.shared.cache.header import (
    HEADER,
    HEADER_LIMIT_BYTES,
    SHARDS_LIMIT,
    CoveredFile,
    Header,
    Identity,
    Split,
)
from mixkd.shared.cache.records import RECORD_LIMIT_BYTES, Record
from mixkd.shared.cache.seal import (
    MANIFEST,
    SEAL_LIMIT_BYTES,
    SEALS,
    SEALS_LIMIT,
    Seal,
    seal_name,
)
from mixkd.shared.errors import (
    DamagedFileError,
    MalformedError,
    MissingFileError,
    UnsafeFileError,
    UnsealedError,
)
from mixkd.shared.examples import Examples
from mixkd.shared.json_values import sha256_hex

FILE_LIMIT_BYTES = 2**36
ENTRIES_LIMIT = 2 * SHARDS_LIMIT  # in one folder: shards, and what killed builders left
FILES_LIMIT = 4 * ENTRIES_LIMIT  # in all
DEPTH_LIMIT = 5  # quarantine/student_init/layers-0-2-5/config.json, and one more
REPAIR = "run: cache-teacher repair, then build again; or get the file again"
GET_AGAIN = "get the file again from where the cache was made"


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """Where a cache lies; every method reads one file of it and believes nothing.

    All raise MissingFileError, UnsafeFileError, DamagedFileError, MalformedError or VersionError,
    naming the file.
    """

    root: Path

    def exists(self) -> bool:
        """Look whether there is a header: whether something was built here."""
        return files.exists(self.root / HEADER)

    def names(self, folder: str) -> list[str]:
        """Return the paths of all JSON files in `commits` or `seals`, whatever is in them."""
        limit = SEALS_LIMIT if folder == SEALS else ENTRIES_LIMIT
        listed = self.listed(folder, limit)
        return sorted(f"{folder}/{name}" for name in listed if name.endswith(".json"))

    def listed(self, folder: str, limit: int = ENTRIES_LIMIT) -> list[str]:
        """Return the names in a folder of the cache, none if it does not exist.

        Raises:
            UnsafeFileError: If there are more than `limit`.
        """
        return [entry.name for entry in self._entries(folder, limit)]

    def files(self) -> list[str]:
        """Return the paths of everything but folders, in order; links are not followed.

        Raises:
            UnsafeFileError: If there are more than a cache can have.
        """
        folders, found = [""], list[str]()
        while folders:
            folder = folders.pop()
            if folder.count("/") >= DEPTH_LIMIT:
                continue
            for entry in self._entries(folder, FILES_LIMIT - len(found)):
                path = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                else:
                    found.append(path)
        return sorted(found)

    def _entries(self, folder: str, limit: int) -> list[os.DirEntry[str]]:
        where = self.root / folder
        try:
            with os.scandir(where) as entries:
                found = list(islice(entries, limit + 1))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _unlisted(where, "a folder that can be listed", error.strerror) from None
        if len(found) > limit:
            raise _unlisted(where, f"at most {limit} files", "more")
        return found

    def header(self) -> Header:
        """Read `cache.json`."""
        if not os.path.lexists(self.root / HEADER):
            raise MissingFileError(
                self.root / HEADER,
                expected="a file",
                found="none: no build got as far as that here",
                do="name the folder of a cache, or run the build again",
            )
        data = files.read(self.root, HEADER, limit_bytes=HEADER_LIMIT_BYTES)
        return Header.from_bytes(data, self.root / HEADER)

    def record(self, name: str) -> Record:
        """Read a record, which must be the one of its name."""
        where = self.root / name
        data = files.read(self.root, name, limit_bytes=RECORD_LIMIT_BYTES)
        record = Record.from_bytes(data, where)
        if record.name != name:
            raise MalformedError(
                where,
                expected=f"the record of rows from {record.name}",
                found="a file of a different name",
                do="run: cache-teacher repair",
            )
        return record

    def manifest(self) -> tuple[Seal, str]:
        """Read `MANIFEST.json`, which must equal the seal of its digest: see `seal`."""
        data = self._sealed(MANIFEST)
        pin = sha256_hex(data)
        try:
            equal = self._sealed(seal_name(pin)) == data
        except UnsealedError:
            equal = False
        if not equal:
            self.header()  # an older layout is named as such
            raise DamagedFileError(
                self.root / MANIFEST,
                expected=f"a content equal to {seal_name(pin)}",
                found="no such seal: the content was changed, or the seal is lost",
                do="run: cache-teacher seal DIR, or get both files again",
            )
        return Seal.from_bytes(data, self.root / MANIFEST), pin

    def seal(self, name: str) -> tuple[Seal, str]:
        """Read a file in `seals/`, which must have the name of its digest.

        Returns:
            The seal and its pin, the sha256 of the file.

        Raises:
            UnsealedError: If there is none.
        """
        data = self._sealed(name)
        pin = sha256_hex(data)
        if name != seal_name(pin):
            raise DamagedFileError(
                self.root / name,
                expected=f"the seal {Path(name).stem[:12]}…",
                found=f"{pin[:12]}…, the sha256 of its content",
                do="run: cache-teacher repair DIR, or get the file again",
            )
        return Seal.from_bytes(data, self.root / name), pin

    def _sealed(self, name: str) -> bytes:
        try:
            return files.read(self.root, name, limit_bytes=SEAL_LIMIT_BYTES)
        except MissingFileError:
            raise self._unsealed(name) from None

    def _unsealed(self, name: str) -> UnsealedError:
        seal = f"cache-teacher seal {shlex.quote(str(self.root))}"
        begun = self.exists()
        return UnsealedError(
            self.root / name,
            expected="a seal",
            found="none: the build is not finished" if begun else "none: this is not a cache",
            do=f"run the build again, which goes on; or seal what is complete with: {seal}"
            if begun
            else "name the folder of a cache",
        )

    def check_file(self, covered: CoveredFile) -> None:
        """Compare a covered file's size and sha256."""
        found = files.sha256(
            self.root, covered.path, limit_bytes=FILE_LIMIT_BYTES, size_bytes=covered.size_bytes
        )
        check_digest(self.root / covered.path, found, covered.sha256, GET_AGAIN)

    def covered(self, covered: CoveredFile) -> bytes:
        """Read a covered file whole: the bytes whose size and sha256 were compared."""
        data = files.read(
            self.root, covered.path, limit_bytes=FILE_LIMIT_BYTES, size_bytes=covered.size_bytes
        )
        check_digest(self.root / covered.path, sha256_hex(data), covered.sha256, GET_AGAIN)
        return data

    def shard(self, record: Record, identity: Identity) -> Columns:
        """Read a shard: its columns from its verified bytes, with values in their ranges."""
        where = self.root / record.file
        self.check_sizes((record,), identity)
        data = files.read(
            self.root, record.file, limit_bytes=SHARD_LIMIT_BYTES, size_bytes=record.size_bytes
        )
        check_digest(where, sha256_hex(data), record.sha256)
        layout = identity.layout(record.kind, record.start, record.stop)
        columns = record.codec.decode(layout, data, where)
        check_values(columns, identity.n_train, where)
        return columns

    def check_sizes(self, records: tuple[Record, ...], identity: Identity) -> None:
        """Refuse declared sizes that no shard of so many rows can have, before anything is read."""
        for record in records:
            row_bytes = identity.layout(record.kind, 0, 1).row_bytes
            least = (record.stop - record.start) * row_bytes
            most = min(least + record.codec.overhead_bytes, SHARD_LIMIT_BYTES)
            if not least <= record.size_bytes <= most:
                raise MalformedError(
                    self.root / record.file,
                    expected=f"between {least} and {most} bytes for its rows",
                    found=f"{record.size_bytes} bytes in its record",
                    do="do not use this cache; build it again",
                )

    def examples(self, identity: Identity, split: Split) -> Examples:
        """Read a split that may not be sealed yet: it must be what the identity was made from."""
        name = f"examples/{split.name}.arrow"
        where = self.root / name
        data = files.mapped(self.root, name, limit_bytes=FILE_LIMIT_BYTES)
        kind, classes = identity.problem_type, identity.classes
        examples = Examples.from_bytes(data, split.rows, kind, where, classes)
        examples.check_values(classes, identity.max_length, split.labelled, where)
        check_digest(where, examples.ids_sha256(), split.ids_sha256, GET_AGAIN)
        if (texts_sha256 := examples.texts_sha256()) is not None:
            check_digest(where, texts_sha256, split.texts_sha256, GET_AGAIN)
        return examples

    def all_examples(self, identity: Identity) -> dict[str, Examples]:
        """Read every split as `examples` does, by name."""
        return {split.name: self.examples(identity, split) for split in identity.splits}

    def originals(self, records: tuple[Record, ...], identity: Identity) -> dict[str, Logits]:
        """Read the teacher's logits on each split, float32 [n, C], from all originals' records."""
        parts = [self.shard(record, identity) for record in records]
        keys = original_keys(identity, 0, identity.n_originals)
        if any((np.concatenate([part[k] for part in parts]) != v).any() for k, v in keys.items()):
            raise MalformedError(
                self.root / "data",
                expected="every example of every split once, in order",
                found="originals in a different order",
                do="do not use this cache; build it again",
            )
        logits = np.concatenate([part["logits"] for part in parts]).astype(np.float32)  # [n, C]
        stops = np.cumsum([split.rows for split in identity.splits])[:-1]
        return dict(zip((s.name for s in identity.splits), np.split(logits, stops), strict=True))


def _unlisted(where: Path, expected: str, found: object) -> UnsafeFileError:
    return UnsafeFileError(
        where,
        expected=expected,
        found=found,
        do="move aside what the cache does not need, or do not use it",
    )


def original_keys(identity: Identity, start: int, stop: int) -> Columns:
    """Return the key columns of rows [start, stop) of the originals: split int8, example uint32."""
    rows = [split.rows for split in identity.splits]
    return {
        "split": np.repeat(np.arange(len(rows), dtype=np.int8), rows)[start:stop],
        "example": np.concatenate([np.arange(n, dtype=np.uint32) for n in rows])[start:stop],
    }


def check_digest(where: object, found: str, expected: str, do: str = REPAIR) -> None:
    """Compare two digests.

    Raises:
        DamagedFileError: Naming both.
    """
    if found != expected:
        raise DamagedFileError(
            where,
            expected=f"sha256 {expected[:12]}…",
            found=f"{found[:12]}…: the content was changed",
            do=do,
        )
