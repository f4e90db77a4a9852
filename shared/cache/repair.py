"""Repair a cache: what is damaged goes to `quarantine/`; the next build fills the gap.

Nothing is deleted but temporaries and shards that nothing names, and those only after a day: they
may belong to a builder that is running.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixkd.shared import publish
from mixkd.shared.cache.agreement import check_agreement
from mixkd.shared.cache.discard import discard_shard
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import Header, Identity
from mixkd.shared.cache.loadable import ROWS, rows_path
from mixkd.shared.cache.records import COMMITS, Record
from mixkd.shared.cache.seal import MANIFEST, SEALS, Seal
from mixkd.shared.cache.sealing import README, describe, publish_longest
from mixkd.shared.cache.writer import check_owner
from mixkd.shared.errors import DamagedFileError, MixkdError

SECONDS_UNTIL_STALE = 24 * 3600
QUARANTINE = "quarantine"
Action = Literal["quarantine", "restore", "remove", "get again"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that repair does: `quarantine`, `restore` or `remove` a file, and why; or what it
    cannot do, `get again`: no build creates the file a second time with certainty."""

    action: Action
    file: str
    reason: str


def repair_cache(root: str | Path, dry_run: bool = False) -> list[Step]:
    """Move what is damaged aside; put records back that a seal still has.

    Raises:
        MixkdError: If `cache.json` itself cannot be read: there is nothing to go by then.
    """
    root = Path(root)
    folder = CacheFolder(root)
    header = folder.header()
    identity = header.identity
    seals, steps = _seals(folder, header)
    sealed = {record.name: record for seal in seals.values() for record in seal.shards}
    records, unreadable = _records(folder)
    bad: dict[str, str] = {}
    for name in sorted({*records, *unreadable, *sealed}):
        record = sealed.get(name) or records.get(name)
        reason = unreadable.get(name)
        damage = _damage(folder, record, identity) if record else reason
        if damage:
            bad[name] = damage
            steps += _aside(root, name, record, damage)
        elif record != records.get(name):
            steps.append(Step("restore", name, reason or f"its seal has it, {COMMITS}/ has not"))
    steps += _listing(seals, bad)
    named = {record.file for record in (*records.values(), *sealed.values())}
    steps += _stale(folder, named)
    steps += _lost(folder, seals)
    steps += _out_of_place(root, identity)
    if not dry_run:
        _carry_out(folder, steps, sealed)
        # A builder may have sealed what was put aside meanwhile.
        _carry_out(folder, _listing(_seals(folder, header)[0], bad) if bad else [], sealed)
        if folder.names(SEALS):
            cache = publish_longest(folder)
            if not any(step.action == "get again" for step in steps):
                describe(cache)
    return steps


def _seals(folder: CacheFolder, header: Header) -> tuple[dict[str, Seal], list[Step]]:
    """Read MANIFEST.json and every seal; those that no reader takes go aside."""
    seals: dict[str, Seal] = {}
    steps: list[Step] = []
    manifest = [MANIFEST] if os.path.lexists(folder.root / MANIFEST) else []
    for name in (*folder.names(SEALS), *manifest):
        try:
            seal, _ = folder.manifest() if name == MANIFEST else folder.seal(name)
            with suppress(DamagedFileError):  # cache.json is not the sealed one: see _lost
                check_agreement(folder, header, seal)
        except MixkdError as error:
            steps.append(Step("quarantine", name, str(error)))
        else:
            seals[name] = seal
    return seals, steps


def _listing(seals: dict[str, Seal], bad: dict[str, str]) -> list[Step]:
    """Find the seals of what is damaged."""
    return [
        Step("quarantine", name, f"it lists {listed[0]}")
        for name, seal in seals.items()
        if (listed := [record.name for record in seal.shards if record.name in bad])
    ]


def _records(folder: CacheFolder) -> tuple[dict[str, Record], dict[str, str]]:
    """Read the records; say what is wrong with those that cannot be read."""
    records, wrong = {}, {}
    for name in folder.names(COMMITS):
        try:
            records[name] = folder.record(name)
        except MixkdError as error:
            wrong[name] = str(error)
    return records, wrong


def _damage(folder: CacheFolder, record: Record, identity: Identity) -> str | None:
    try:
        check_owner(folder.root, record, identity)
        folder.shard(record, identity)
    except MixkdError as error:
        return str(error)
    return None


def _aside(root: Path, name: str, record: Record | None, reason: str) -> Iterator[Step]:
    for file in (name, *([record.file] if record else [])):
        if os.path.lexists(root / file):
            yield Step("quarantine", file, reason)


def _stale(folder: CacheFolder, named: set[str]) -> Iterator[Step]:
    before = time.time() - SECONDS_UNTIL_STALE
    for name in folder.files():
        path = folder.root / name
        if name.startswith(f"{QUARANTINE}/") or not path.is_file() or path.is_symlink():
            continue
        temporary = publish.is_temporary(path.name)
        unnamed = name.startswith("data/") and name not in named
        if (temporary or unnamed) and path.stat().st_mtime < before:
            yield Step("remove", name, "temporary" if temporary else "no record names it")


def _lost(folder: CacheFolder, seals: dict[str, Seal]) -> Iterator[Step]:
    """Find files beside the shards that are not what a seal says."""
    for file in sorted({file for seal in seals.values() for file in seal.files}):
        try:
            folder.check_file(file)
        except MixkdError as error:
            yield Step("get again", file.path, str(error))


def _out_of_place(root: Path, identity: Identity) -> Iterator[Step]:
    """Find what a seal could not write its card and rows over."""
    if os.path.lexists(root / ROWS) and ((root / ROWS).is_symlink() or not (root / ROWS).is_dir()):
        yield Step("quarantine", ROWS, "it is not a folder of the cache")
        return
    for name in (README, *(rows_path(split.name) for split in identity.splits)):
        if (root / name).is_dir() and not (root / name).is_symlink():
            yield Step("quarantine", name, "it is a folder")


def _free(root: Path, name: str) -> str:
    """Find the first of NAME, NAME.1, NAME.2, … in quarantine that is not taken."""
    target = f"{QUARANTINE}/{name}"
    number, free = 0, target
    while os.path.lexists(root / free):
        number += 1
        free = f"{target}.{number}"
    return free


def _carry_out(folder: CacheFolder, steps: list[Step], sealed: dict[str, Record]) -> None:
    """Take the steps, seals first: while a seal exists, what it lists exists too."""
    root, disk = folder.root, publish.Root(folder.root)
    for step in sorted(steps, key=lambda step: not step.file.startswith((MANIFEST, f"{SEALS}/"))):
        if step.action == "quarantine":
            disk.move(step.file, _free(root, step.file))
        elif step.action == "remove" and publish.is_temporary(step.file):
            disk.remove(step.file)
        elif step.action == "remove":
            discard_shard(folder, step.file)
        elif step.action == "restore":
            if os.path.lexists(root / step.file):
                disk.move(step.file, _free(root, step.file))
            disk.create(step.file, sealed[step.file].to_bytes())
