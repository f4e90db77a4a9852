"""Compare what a seal says with what `cache.json` says."""

from __future__ import annotations

from pathlib import Path

from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import HEADER, CoveredFile, Header
from mixkd.shared.cache.kept import FOLDER
from mixkd.shared.cache.seal import MANIFEST, Seal
from mixkd.shared.errors import AlignmentError, MalformedError


def check_agreement(folder: CacheFolder, header: Header, seal: Seal) -> None:
    """Compare a seal with the header, which has the digests of all but itself.

    Raises:
        DamagedFileError: If `cache.json` is not the sealed one.
        MalformedError: If the two contradict each other.
        AlignmentError: If a split with labels has no sealed headline score.
    """
    covered = covered_file(seal, HEADER, folder.root)
    folder.check_file(covered)
    expected = (header.identity.fingerprint, header.identity.n_originals)
    found = (seal.fingerprint, seal.rows.originals)
    where = folder.root / MANIFEST
    if found != expected:
        what = f"fingerprint and originals of {HEADER}, {expected}"
        raise _contradiction(where, what, found)
    if seal.files != tuple(sorted([covered, *header.files])):
        raise _contradiction(where, f"the files of {HEADER}", "different files or digests")
    if header.identity.teacher.source == "logits":
        starts = any(file.path.startswith("student_init/") for file in seal.files)
        if seal.rows.pairs or starts:
            what = "no pairs and no starting points, since no model is behind given logits"
            raise _contradiction(where, what, f"{seal.rows.pairs} pairs" + " and starts" * starts)
    splits = [split.name for split in header.identity.splits]
    kept = {f"{FOLDER}/{split}.arrow" for split in splits if header.columns}
    if {file.path for file in seal.files if file.path.startswith(f"{FOLDER}/")} != kept:
        shown = ", ".join(sorted(kept)) or f"no {FOLDER}/"
        raise _contradiction(where, f"{shown} as in {HEADER}", "others")
    splits = [split.name for split in header.identity.splits if split.labelled]
    scored = [split for split, scores in seal.scores.items() if header.metric in scores]
    if sorted(scored) != sorted(splits):
        raise AlignmentError(
            where,
            expected=f"a sealed {header.metric} of {', '.join(splits)}",
            found=f"one of {', '.join(scored) or 'none'}",
            do="do not use this cache; build it again",
        )
    formats = {record.codec.name for record in seal.shards}
    if formats != {header.shard_format}:
        raise _contradiction(where, f"{header.shard_format} shards only", sorted(formats))
    folder.check_sizes(seal.shards, header.identity)


def covered_file(seal: Seal, path: str, root: Path) -> CoveredFile:
    """Return what a seal says of a file.

    Raises:
        MalformedError: If it does not cover it.
    """
    for file in seal.files:
        if file.path == path:
            return file
    raise MalformedError(
        root / MANIFEST,
        expected=f"{path} among the sealed files",
        found="no such entry",
        do="do not use this cache; build it again",
    )


def _contradiction(where: Path, expected: str, found: object) -> MalformedError:
    return MalformedError(where, expected=expected, found=found, do="run: cache-teacher verify")
