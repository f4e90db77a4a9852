"""Making a seal from what is committed, and putting the longest one in place of MANIFEST.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mixkd.shared import files, publish
from mixkd.shared.cache.card import card
from mixkd.shared.cache.folder import FILE_LIMIT_BYTES, CacheFolder
from mixkd.shared.cache.header import HEADER, CoveredFile, CoveredPath, Header
from mixkd.shared.cache.loadable import write_rows
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.scores import split_scores
from mixkd.shared.cache.seal import (
    MANIFEST,
    SEAL_LIMIT_BYTES,
    SEALS,
    SEALS_LIMIT,
    RowCounts,
    Seal,
    seal_name,
)
from mixkd.shared.errors import DamagedFileError, MixkdError, OutputError, UnsealedError
from mixkd.shared.json_values import sha256_hex
from mixkd.shared.plan import complete_prefix

README = "README.md"


def make(folder: CacheFolder, header: Header, records: Mapping[str, Sequence[Record]]) -> Seal:
    """Return the seal of the complete prefix of each kind's records.

    Raises:
        UnsealedError: If not all originals are among them.
        DamagedFileError: If a shard is not there or has a different size.
    """
    originals, pairs = _prefix(records["originals"]), _prefix(records["pairs"])
    complete = originals[-1].stop if originals else 0
    if complete < header.identity.n_originals:
        raise UnsealedError(
            folder.root,
            expected=f"all {header.identity.n_originals} originals committed before a seal",
            found=f"{complete}",
            do="run the build again: it continues",
        )
    check_present(folder.root, [*originals, *pairs])
    size = (folder.root / HEADER).stat().st_size
    sha256 = files.sha256(folder.root, HEADER, limit_bytes=FILE_LIMIT_BYTES, size_bytes=size)
    own = CoveredFile(path=HEADER, size_bytes=size, sha256=sha256)
    return Seal(
        format=header.format,
        fingerprint=header.fingerprint,
        rows=RowCounts(originals=complete, pairs=pairs[-1].stop if pairs else 0),
        shards=(*originals, *pairs),
        files=tuple(sorted([own, *header.files])),
        scores=_scores(folder, header, tuple(originals)),
    )


def publish_seal(folder: CacheFolder, seal: Seal) -> None:
    """Create the seal's file under the name of its digest, once a reader would take it.

    Raises:
        MalformedError: If no reader would.
        DamagedFileError: If a shard that it lists disappeared meanwhile; then no seal stays.
    """
    data = seal.to_bytes()
    name = seal_name(sha256_hex(data))
    as_read = Seal.from_bytes(data, folder.root / name)
    Cache.of(folder, folder.header(), as_read, Path(name).stem).check_alignment()
    names = folder.names(SEALS)
    if name not in names and len(names) >= SEALS_LIMIT:
        raise OutputError(
            folder.root / SEALS,
            expected=f"fewer than {SEALS_LIMIT} seals before another one",
            found=len(names),
            do="move the oldest ones out of the cache",
        )
    disk = publish.Root(folder.root)
    is_new = disk.create(name, data) is None
    try:
        check_present(folder.root, seal.shards)  # a repair may have come in between
    except DamagedFileError:
        if is_new:
            disk.remove(name)
        raise


def publish_longest(folder: CacheFolder, known: dict[str, Seal] | None = None) -> Cache:
    """Make MANIFEST.json the longest seal, looking again until no longer one has appeared.

    A seal is opened as a reader opens it before it takes the place of another one.

    Args:
        known: Seals that were read before, by path; those that are read now are added.

    Returns:
        The cache at the longest seal.
    """
    known = {} if known is None else known
    header, name = folder.header(), _longest_on_disk(folder, known)
    while True:
        cache = Cache.of(folder, header, *folder.seal(name))
        data = files.read(folder.root, name, limit_bytes=SEAL_LIMIT_BYTES)
        _put(folder.root, MANIFEST, data)
        again = _longest_on_disk(folder, known)
        if again == name:
            return cache
        name = again


def describe(cache: Cache) -> None:
    """Write what people and the Hub read of a cache: `rows/`, and the card that names them."""
    write_rows(cache)
    _put(cache.root, README, card(cache).encode())


def longest(seals: Mapping[str, Seal]) -> tuple[str, Seal]:
    """Return the path and the value of the seal of most rows."""
    return max(seals.items(), key=lambda item: (item[1].length, item[0]))


def covered_paths(folder: CacheFolder) -> list[str]:
    """Return the paths on the disk of all that a seal covers beside `cache.json`."""
    starts = (f"student_init/{name}" for name in folder.listed("student_init"))
    paths = [
        f"{place}/{name}"
        for place in ("examples", "columns", "tokenizer", *starts)
        for name in folder.listed(place)
    ]
    return sorted(path for path in paths if _is_covered(path))


def _is_covered(path: str) -> bool:
    try:
        msgspec.convert(path, CoveredPath)
    except msgspec.ValidationError:
        return False
    return True


def _longest_on_disk(folder: CacheFolder, known: dict[str, Seal]) -> str:
    names = folder.names(SEALS)
    for name in names:
        if name not in known:
            known[name], _ = folder.seal(name)
    if not names:
        raise UnsealedError(
            folder.root / SEALS,
            expected="a seal",
            found="none: a repair put it aside",
            do="run the build again",
        )
    return longest({name: known[name] for name in names})[0]


def _put(root: Path, name: str, data: bytes) -> None:
    """Replace a file unless it has this content already."""
    try:
        if files.read(root, name, limit_bytes=SEAL_LIMIT_BYTES) == data:
            return
    except MixkdError:
        pass  # none, or something that is not a file: a rename takes its place
    publish.Root(root).replace(name, data)


def _prefix(records: Sequence[Record]) -> list[Record]:
    complete = complete_prefix((record.start, record.stop) for record in records)
    return [record for record in records if record.stop <= complete]


def check_present(root: Path, records: Sequence[Record]) -> None:
    """Refuse records whose shards are not there, or have a different size.

    Raises:
        DamagedFileError: Naming the shard.
    """
    for record in records:
        path = root / record.file
        size = path.stat().st_size if path.is_file() else None
        if size != record.size_bytes:
            raise DamagedFileError(
                path,
                expected=f"{record.size_bytes} bytes, as recorded",
                found="no file" if size is None else f"{size} bytes",
                do="run: cache-teacher repair, then build again",
            )


def _scores(
    folder: CacheFolder, header: Header, originals: tuple[Record, ...]
) -> dict[str, dict[str, float]]:
    identity = header.identity
    logits = folder.originals(originals, identity)
    return split_scores(folder.all_examples(identity), logits, identity.problem_type)
