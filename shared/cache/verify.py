"""Verify a cache without its teacher: every finding named, from structure to a recomputed plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mixkd.shared import plan, publish
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import Identity
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import COMMITS, Record
from mixkd.shared.cache.seal import SEALS
from mixkd.shared.cache.writer import check_owner
from mixkd.shared.errors import MalformedError, MixkdError

LAM_ULPS = 2
Check = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or (`harmless`) only left over."""

    message: str
    harmless: bool = False


def verify_cache(root: str | Path, deep: bool = False) -> list[Finding]:
    """Check structure and every digest; `deep` recomputes the plan as well.

    Values, ranges and the proof of alignment are part of reading, so they are checked too.
    """
    root = Path(root)
    folder = CacheFolder(root)
    try:
        cache = Cache.open(root)
    except MixkdError as error:
        return [Finding(str(error)), *_without_seal(folder, deep)]
    identity = cache.identity
    deep = deep and _has_its_train_examples(folder, identity)
    checks: list[Check] = [
        cache.check_alignment,
        *(partial(folder.check_file, file) for file in cache.seal.files),
        *(partial(_shard, folder, record, identity, deep) for record in cache.seal.shards),
        *(partial(folder.examples, identity, split) for split in identity.splits),
        *(partial(cache.student_folder, depth) for depth in cache.student_depths),
        cache.tokenizer_folder,
    ]
    found = [Finding(message) for message in dict.fromkeys(_messages(checks))]
    return [*found, *_records(folder, cache, deep), *_left_over(root, cache)]


def _has_its_train_examples(folder: CacheFolder, identity: Identity) -> bool:
    """Look whether the train examples are as many as is claimed: a plan takes room for each."""
    try:
        folder.examples(identity, identity.splits[0])
    except MixkdError:
        return False
    return True


def _shard(folder: CacheFolder, record: Record, identity: Identity, deep: bool) -> None:
    columns = folder.shard(record, identity)
    if not deep or record.kind != "pairs":
        return
    planned = plan.pairs(
        record.start,
        record.stop,
        examples=identity.n_train,
        seed=identity.mixup.seed,
        beta=identity.mixup.beta,
    )
    steps = np.abs(columns["lam"].view(np.int32) - planned.lam.view(np.int32))  # [rows]
    if (
        (columns["left"] != planned.left).any()
        or (columns["right"] != planned.right).any()
        or (steps > LAM_ULPS).any()
    ):
        raise MalformedError(
            folder.root / record.file,
            expected="the pairs of the plan",
            found="different ones",
            do="do not use this cache; build it again",
        )


def _records(folder: CacheFolder, cache: Cache, deep: bool) -> list[Finding]:
    """Check each sealed record against its file in commits/, the others with their shards, as a
    later seal would take them, and read every old seal again."""
    sealed = {record.name for record in cache.seal.shards}
    unsealed = [name for name in folder.names(COMMITS) if name not in sealed]
    checks: list[Check] = [
        *(partial(_committed, folder, record) for record in cache.seal.shards),
        *(partial(_unsealed, folder, cache.identity, name, deep) for name in unsealed),
        *(partial(folder.seal, name) for name in folder.names(SEALS)),
    ]
    return [Finding(message) for message in _messages(checks)]


def _committed(folder: CacheFolder, record: Record) -> None:
    if folder.record(record.name) != record:
        raise MalformedError(
            folder.root / record.name,
            expected="the sealed record",
            found="a different one",
            do="run: cache-teacher repair",
        )


def _unsealed(folder: CacheFolder, identity: Identity, name: str, deep: bool) -> None:
    record = folder.record(name)
    check_owner(folder.root, record, identity)
    _shard(folder, record, identity, deep)


def _without_seal(folder: CacheFolder, deep: bool) -> list[Finding]:
    """Check what can be checked of a cache that does not open."""
    try:
        identity = folder.header().identity
    except MixkdError as error:
        return [Finding(str(error))]
    deep = deep and _has_its_train_examples(folder, identity)
    checks: list[Check] = [
        *(partial(folder.seal, name) for name in folder.names(SEALS)),
        *(partial(folder.examples, identity, split) for split in identity.splits),
        *(partial(_unsealed, folder, identity, name, deep) for name in folder.names(COMMITS)),
    ]
    return [Finding(message) for message in _messages(checks)]


def _left_over(root: Path, cache: Cache) -> list[Finding]:
    """Find files that no seal names: of running builders, or of dead ones."""
    sealed = {name for record in cache.seal.shards for name in (record.file, record.name)}
    found = []
    for path in map(root.joinpath, CacheFolder(root).files()):
        name = path.relative_to(root).as_posix()
        unsealed = name.startswith(("data/", f"{COMMITS}/")) and name not in sealed
        if path.is_file() and (unsealed or publish.is_temporary(path.name)):
            found.append(
                Finding(
                    f"{path}: expected only what the seal names, found a file of an unfinished "
                    "build; readers ignore it",
                    harmless=True,
                )
            )
    return found


def _messages(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        except MixkdError as error:
            yield str(error)
