"""Verifying a cache: every finding named, from structure and digests to a rerun of the teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixkd.shared import plan, publish
from mixkd.shared.cache.header import Identity
from mixkd.shared.cache.reader import (
    Cache,
    check_file,
    names_in,
    read_cache_file,
    read_record,
    read_seal,
    read_shard,
    read_split,
)
from mixkd.shared.cache.rows import rows_by_split
from mixkd.shared.cache.seal import Record, Seal
from mixkd.shared.cache.writer import check_owner
from mixkd.shared.errors import CacheError, MalformedError
from mixkd.shared.mixup import MixBatch

Logits = npt.NDArray[np.float32]
ROWS_AT_ONCE = 32
LAM_ULPS = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or (`harmless`) only left over."""

    message: str
    harmless: bool = False


def verify(root: Path, deep: bool = False) -> list[Finding]:
    """Structure and every digest; `deep` adds the plan recomputed.

    Values, ranges and the proof of alignment are part of reading, so they are checked as well.
    """
    try:
        cache = Cache.open(root)
    except CacheError as error:
        return [Finding(str(error)), *_records_alone(root, deep)]
    checks: list[Callable[[], object]] = [
        partial(_same_as_longest, root, cache.seal),
        cache.check_alignment,
        *(partial(check_file, root, file) for file in cache.seal.files),
        *(partial(_shard, root, record, cache.identity, deep) for record in cache.seal.shards),
        *(partial(read_split, root, cache.identity, split) for split in cache.identity.splits),
    ]
    if cache.student_depths:
        checks += [partial(cache.student_folder, k) for k in cache.student_depths]
    checks.append(cache.tokenizer_folder)
    found = [Finding(message) for message in dict.fromkeys(_messages(checks))]
    return [*found, *_records(root, cache, deep), *_left_over(root, cache)]


def rerun(
    cache: Cache,
    score: Callable[[MixBatch], Logits],
    pad_id: int,
    rows: int,
    tolerance: float,
    absolute: float,
) -> list[Finding]:
    """Score random rows again: |stored - rerun| <= tolerance x max(1, |rerun|) + absolute.

    float16 logits may differ by 2^-10 |rerun| more, from rounding.
    """
    choose = np.random.default_rng()
    identity = cache.identity
    records = cache.seal.shards
    starts = np.cumsum([0, *(record.stop - record.start for record in records)])
    chosen = np.sort(choose.choice(starts[-1], size=min(rows, int(starts[-1])), replace=False))
    rounding = 2.0**-10 if identity.logits_dtype == "float16" else 0.0
    findings = []
    for number, record in enumerate(records):
        inside = chosen[(chosen >= starts[number]) & (chosen < starts[number + 1])] - starts[number]
        if not len(inside):
            continue
        columns = {name: values[inside] for name, values in cache.read(record).items()}
        for group in rows_by_split(identity, columns):
            examples = cache.examples(group.split)
            for begin in range(0, len(group.pairs), ROWS_AT_ONCE):
                part = slice(begin, begin + ROWS_AT_ONCE)
                stored = group.pairs.known_logits[part].astype(np.float32)  # [B, C]
                again = score(examples.mixes(group.pairs[part], pad_id))  # [B, C]
                allowed = tolerance * np.maximum(1, np.abs(again)) + absolute
                allowed = allowed + rounding * np.abs(again)  # [B, C]
                for row in np.flatnonzero((np.abs(stored - again) > allowed).any(axis=1)):
                    difference = float(np.abs(stored[row] - again[row]).max())
                    position = record.start + inside[group.positions[part][row]]
                    findings.append(
                        Finding(
                            f"{cache.root / record.file}: expected the teacher's logits within "
                            f"{allowed[row].max():.2g}, found a difference of {difference:.3g} in "
                            f"row {position} ({group.split}); this is another teacher, "
                            "or the cache is wrong"
                        )
                    )
    return findings


def _shard(root: Path, record: Record, identity: Identity, deep: bool) -> None:
    columns = read_shard(root, record, identity)
    if not deep or record.kind != "pairs":
        return
    planned = plan.pairs(
        record.start,
        record.stop,
        examples=identity.train_rows,
        seed=identity.seed,
        beta=identity.beta,
    )
    steps = np.abs(columns["lam"].view(np.int32) - planned.lam.view(np.int32))
    if (
        (columns["left"] != planned.left).any()
        or (columns["right"] != planned.right).any()
        or (steps > LAM_ULPS).any()
    ):
        raise MalformedError(
            root / record.file,
            expected="the pairs of the plan",
            found="others",
            do="do not use this cache; build it again",
        )


def _same_as_longest(root: Path, manifest: Seal) -> None:
    if manifest.name not in names_in(root, "seals"):
        raise MalformedError(
            root / "MANIFEST.json",
            expected=f"an equal {manifest.name}",
            found="none",
            do="run: cache-teacher seal",
        )


def _records(root: Path, cache: Cache, deep: bool) -> list[Finding]:
    """Each sealed record against its file in commits/, the others with their shards, as a later
    seal would take them, and every old seal read again."""
    checks: list[Callable[[], object]] = []
    checks += [partial(_committed, root, record) for record in cache.seal.shards]
    unsealed = {*names_in(root, "commits")} - {record.name for record in cache.seal.shards}
    checks += [partial(_unsealed, root, cache.identity, name, deep) for name in sorted(unsealed)]
    checks += [partial(_seal, root, name) for name in names_in(root, "seals")]
    return [Finding(message) for message in _messages(checks)]


def _committed(root: Path, record: Record) -> None:
    if read_record(root, record.name) != record:
        raise MalformedError(
            root / record.name,
            expected="the sealed record",
            found="another one",
            do="run: cache-teacher repair",
        )


def _seal(root: Path, name: str) -> None:
    seal = read_seal(root, name)
    if seal.name != name:
        raise MalformedError(
            root / name, expected=seal.name, found="another name", do="run: cache-teacher repair"
        )


def _unsealed(root: Path, identity: Identity, name: str, deep: bool) -> None:
    record = read_record(root, name)
    check_owner(root, record, identity)
    _shard(root, record, identity, deep)


def _records_alone(root: Path, deep: bool) -> list[Finding]:
    """What can be said of a cache that does not open: each record, and its shard."""
    try:
        identity = read_cache_file(root).identity
    except CacheError as error:
        return [Finding(str(error))]
    names = names_in(root, "commits")
    checks = [partial(_unsealed, root, identity, name, deep) for name in names]
    return [Finding(message) for message in _messages(checks)]


def _left_over(root: Path, cache: Cache) -> list[Finding]:
    """Files that no seal names: of running builders, or of dead ones."""
    sealed = {record.file for record in cache.seal.shards}
    records = {record.name for record in cache.seal.shards}
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        unsealed = name.startswith("data/") and name not in sealed
        unsealed |= name.startswith("commits/") and name not in records
        if path.is_file() and (unsealed or publish.is_temporary(path.name)):
            found.append(
                Finding(
                    f"{path}: expected only what the seal names, found a file of an unfinished "
                    "build; readers ignore it",
                    harmless=True,
                )
            )
    return found


def _messages(checks: Sequence[Callable[[], object]]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        except CacheError as error:
            yield str(error)
