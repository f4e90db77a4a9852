"""Verify a cache by itself: every finding named, from digests to the pairs of a plan drawn again.

No model is needed: what compares texts and logits is in `teacher_cache/verify.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mixkd.shared import files, plan, publish
from mixkd.shared.cache.card import card
from mixkd.shared.cache.claims import Claim, Finding, Reported, Unchecked
from mixkd.shared.cache.codecs.base import Columns
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import HEADER_LIMIT_BYTES, Identity
from mixkd.shared.cache.loadable import has_rows, rows_path
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import COMMITS, GIVEN, Record
from mixkd.shared.cache.seal import SEALS
from mixkd.shared.cache.sealing import README
from mixkd.shared.cache.writer import check_owner
from mixkd.shared.errors import (
    AlignmentError,
    DamagedFileError,
    MalformedError,
    MissingFileError,
    MixkdError,
    UnsafeFileError,
    printable,
)
from mixkd.shared.options import DTYPES

LAM_ULPS = 2
DRAWN = 2**22  # pairs without `deep`: seven seconds on one core
PASS_COST = 100  # a pass takes as long as so many more pairs


@dataclass(frozen=True, slots=True)
class Check:
    """Something to call, and the claims that its errors are about.

    Attributes:
        run: Raises a MixkdError, or returns findings.
        damaged: The claim, where bytes or a digest differ.
        malformed: The claim, where the content cannot be.
    """

    run: Callable[[], object]
    damaged: Claim = "files"
    malformed: Claim = "files"


def verify_cache(root: str | Path, deep: bool = False) -> list[Finding]:
    """Find what is wrong with a cache, as far as it tells by itself.

    Values, ranges and the proof of alignment are part of reading, so they are checked too.

    Args:
        deep: Draw the plan of every pair; otherwise of up to four million.

    Raises:
        MissingFileError: If there is no such folder.
    """
    return [item for item in look(root, deep) if isinstance(item, Finding)]


def look(root: str | Path, deep: bool = False) -> Iterator[Reported]:
    """Give what `verify_cache` finds, and what it left out.

    Raises:
        MissingFileError: If there is no such folder.
    """
    root = Path(root)
    folder = CacheFolder(root)
    try:
        cache = Cache.open(root)
    except MixkdError as error:
        if not files.is_folder(root):
            raise
        yield Finding(_claim(error), str(error))
        yield from _without_seal(folder)
        unopened: tuple[Claim, ...] = ("plan", "scores", "dtype", "card")
        yield from (Unchecked(claim, "the cache does not open") for claim in unopened)
        return
    identity = cache.identity
    kept = cache.splits if cache.header.columns else ()
    planned, left_out = _planned(folder, identity, cache.pair_records, deep)
    checks = [
        *(Check(partial(folder.check_file, file)) for file in cache.seal.files),
        *(_shard(folder, record, identity, record in planned) for record in cache.seal.shards),
        *_examples(folder, identity),
        Check(cache.check_alignment, malformed="rows"),
        *(Check(partial(cache.columns, split), malformed="rows") for split in kept),
        *(Check(partial(cache.student_folder, layers)) for layers in cache.starts),
        Check(cache.tokenizer_folder),
        Check(partial(_dtypes, cache)),
    ]
    found = [*dict.fromkeys(_findings(checks)), *_records(folder, cache)]
    yield from found
    yield from left_out
    if found:
        yield Unchecked("card", "what is wrong comes first")
    else:
        yield from _card(cache)
    yield from _left_over(root, cache)


def _planned(
    folder: CacheFolder, identity: Identity, records: Sequence[Record], deep: bool
) -> tuple[frozenset[Record], list[Unchecked]]:
    """Choose the shards whose pairs are compared with the plan: all, unless they are very many.

    A plan takes room for each train example, so none is drawn unless they exist.
    """
    if not _has_its_train_examples(folder, identity):
        return frozenset(), [Unchecked("plan", "the train examples are not as many as is claimed")]
    examples, last = identity.n_train, records[-1].stop if records else 0
    longest = max((record.stop - record.start for record in records), default=0)
    cost, shard_cost = (
        (rows // examples + 1) * (examples + PASS_COST)  # a pass is drawn whole
        for rows in (last, longest)
    )
    if deep or cost <= DRAWN:
        return frozenset(records), []
    number = min(DRAWN // shard_cost or int(longest <= examples), len(records))
    chosen = np.random.default_rng().choice(len(records), number, replace=False)
    some = f"{number} of {len(records)} shards of pairs; all with --deep"
    return frozenset(records[k] for k in chosen), [Unchecked("plan", some, partly=number > 0)]


def _has_its_train_examples(folder: CacheFolder, identity: Identity) -> bool:
    """Look whether the train examples are as many as is claimed: a plan takes room for each."""
    try:
        folder.examples(identity, identity.splits[0])
    except MixkdError:
        return False
    return True


def _examples(folder: CacheFolder, identity: Identity) -> Iterator[Check]:
    for split in identity.splits:
        yield Check(partial(folder.examples, identity, split), damaged="ids", malformed="rows")


def _shard(folder: CacheFolder, record: Record, identity: Identity, planned: bool) -> Check:
    return Check(partial(_read_shard, folder, record, identity, planned), malformed="rows")


def _read_shard(
    folder: CacheFolder, record: Record, identity: Identity, planned: bool
) -> list[Finding]:
    columns = folder.shard(record, identity)
    if planned and record.kind == "pairs" and not _is_planned(columns, record, identity):
        error = MalformedError(
            folder.root / record.file,
            expected="the pairs of the plan",
            found="different ones",
            do="do not use this cache; build it again",
        )
        return [Finding("plan", str(error))]
    return []


def _is_planned(columns: Columns, record: Record, identity: Identity) -> bool:
    drawn = plan.pairs(
        record.start,
        record.stop,
        examples=identity.n_train,
        seed=identity.mixup.seed,
        beta=identity.mixup.beta,
    )
    steps = np.abs(columns["lam"].view(np.int32) - drawn.lam.view(np.int32))  # [rows]
    same = (columns["left"] == drawn.left) & (columns["right"] == drawn.right)  # [rows]
    return bool((same & (steps <= LAM_ULPS)).all())


def _dtypes(cache: Cache) -> list[Finding]:
    """Look whether the recorded number formats are known ones; only a rerun shows more."""
    known = (GIVEN,) if cache.identity.teacher.source == "logits" else DTYPES
    return [
        Finding(
            "dtype",
            f"{cache.root / record.name}: expected one of {', '.join(known)}, "
            f"found {printable(record.made.dtype[:40])}",
        )
        for record in cache.seal.shards
        if record.made.dtype not in known
    ]


def _records(folder: CacheFolder, cache: Cache) -> list[Finding]:
    """Check each sealed record against its file in commits/, the others with their shards, as a
    later seal would take them, and read every old seal again."""
    sealed = {record.name for record in cache.seal.shards}
    unsealed = [name for name in folder.names(COMMITS) if name not in sealed]
    checks = [
        *(Check(partial(_committed, folder, record)) for record in cache.seal.shards),
        *_unsealed(folder, cache.identity, unsealed),
        *(Check(partial(folder.seal, name)) for name in folder.names(SEALS)),
    ]
    return list(_findings(checks))


def _committed(folder: CacheFolder, record: Record) -> None:
    if folder.record(record.name) != record:
        raise MalformedError(
            folder.root / record.name,
            expected="the sealed record",
            found="a different one",
            do="run: cache-teacher repair",
        )


def _unsealed(folder: CacheFolder, identity: Identity, names: Iterable[str]) -> Iterator[Check]:
    """Check records that no seal has, each with its shard."""
    exist = _has_its_train_examples(folder, identity)

    def check(name: str) -> list[Finding]:
        record = folder.record(name)
        check_owner(folder.root, record, identity)
        return _read_shard(folder, record, identity, planned=exist)

    return (Check(partial(check, name), malformed="rows") for name in names)


def _without_seal(folder: CacheFolder) -> Iterator[Finding]:
    """Check what can be checked of a cache that does not open."""
    try:
        identity = folder.header().identity
    except MixkdError as error:
        yield Finding("files", str(error))
        return
    yield from _findings(
        [
            *(Check(partial(folder.seal, name)) for name in folder.names(SEALS)),
            *_examples(folder, identity),
            *_unsealed(folder, identity, folder.names(COMMITS)),
        ]
    )


def _card(cache: Cache) -> Iterator[Finding]:
    """Compare README.md and its rows with what a seal would write: readers believe neither."""
    try:
        text = files.read(cache.root, README, limit_bytes=HEADER_LIMIT_BYTES)
    except MissingFileError:
        return
    except MixkdError as error:
        yield Finding("card", str(error), harmless=True)
        return
    same = {README: text == card(cache).encode()}
    same |= {rows_path(split): has_rows(cache, split) for split in cache.splits}
    note = "expected what a seal writes, found none or another; cache-teacher seal writes it again"
    for name in (name for name, is_same in same.items() if not is_same):
        yield Finding("card", f"{cache.root / name}: {note}", harmless=True)


def _left_over(root: Path, cache: Cache) -> Iterator[Finding]:
    """Find files that no seal names, of running builders or of dead ones, and links."""
    sealed = {name for record in cache.seal.shards for name in (record.file, record.name)}
    links = []
    for path in map(root.joinpath, CacheFolder(root).files()):
        name = path.relative_to(root).as_posix()
        unsealed = name.startswith(("data/", f"{COMMITS}/")) and name not in sealed
        if path.is_symlink() and not name.startswith("quarantine/"):
            links.append(name)
        if path.is_file() and (unsealed or publish.is_temporary(path.name)):
            message = (
                f"{path}: expected only what the seal names, found a file of an unfinished "
                "build; readers ignore it"
            )
            yield Finding("files", message, harmless=True)
    if links:
        message = f"{root / links[0]}: expected files and folders, found {len(links)} links; "
        message += "readers follow them, builds and repairs refuse to write through them"
        yield Finding("files", message, harmless=True)


def _findings(checks: Iterable[Check]) -> Iterator[Finding]:
    for check in checks:
        try:
            found = check.run()
        except MixkdError as error:
            yield Finding(_claim(error, check), str(error))
        else:
            if isinstance(found, list):
                yield from found


def _claim(error: MixkdError, check: Check | None = None) -> Claim:
    if isinstance(error, AlignmentError):
        return "scores"
    if check and isinstance(error, DamagedFileError):
        return check.damaged
    if check and isinstance(error, MalformedError) and not isinstance(error, UnsafeFileError):
        return check.malformed
    return "files"
