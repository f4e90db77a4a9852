"""Repair: what is damaged goes to `quarantine/`; the next build fills the gap and seals anew.

Nothing is deleted but temporaries and shards that nothing names, and those only after a day: they
may belong to a builder that is running.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mixkd.shared import publish
from mixkd.shared.cache.header import Identity
from mixkd.shared.cache.reader import (
    check_file,
    names_in,
    read_cache_file,
    read_record,
    read_seal,
    read_shard,
)
from mixkd.shared.cache.seal import Record, Seal
from mixkd.shared.cache.sealing import publish_longest
from mixkd.shared.cache.writer import check_owner
from mixkd.shared.errors import CacheError

SECONDS_UNTIL_STALE = 24 * 3600
QUARANTINE = "quarantine"
GET_AGAIN = "get again"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that repair does: `quarantine`, `restore` or `remove` a file, and why; or what it
    cannot do, `get again`: no build makes the file a second time with certainty."""

    action: str
    file: str
    reason: str


def repair(root: Path, dry_run: bool = False) -> list[Step]:
    """Move what is damaged aside; put records back that a seal still has.

    Raises:
        CacheError: If `cache.json` itself cannot be read: there is nothing to go by then.
    """
    identity = read_cache_file(root).identity
    seals, steps = _seals(root)
    sealed = {record.name: record for seal in seals.values() for record in seal.shards}
    records, found = _records(root)
    bad: dict[str, str] = {}
    for name in sorted({*records, *found, *sealed}):
        record = sealed.get(name) or records.get(name)
        reason = found.get(name)
        damage = _damage(root, record, identity) if record else reason
        if damage:
            bad[name] = damage
            steps += _aside(root, name, record, damage)
        elif record != records.get(name):
            steps.append(Step("restore", name, reason or "its seal has it, commits/ has not"))
    steps += [
        Step("quarantine", name, f"it lists {listed[0]}")
        for name, seal in seals.items()
        if (listed := [record.name for record in seal.shards if record.name in bad])
    ]
    named = {record.file for record in (*records.values(), *sealed.values())}
    steps += _stale(root, named)
    steps += _lost(root, seals)
    if not dry_run:
        _carry_out(root, steps, sealed)
    return steps


def _seals(root: Path) -> tuple[dict[str, Seal], list[Step]]:
    """MANIFEST.json and every seal that can be read; the others go aside."""
    seals, steps = {}, []
    manifest = ["MANIFEST.json"] if (root / "MANIFEST.json").exists() else []
    for name in (*names_in(root, "seals"), *manifest):
        try:
            seal = read_seal(root, name)
        except CacheError as error:
            steps.append(Step("quarantine", name, str(error)))
            continue
        if name in ("MANIFEST.json", seal.name):
            seals[name] = seal
        else:
            steps.append(Step("quarantine", name, f"it is {seal.name}"))
    return seals, steps


def _records(root: Path) -> tuple[dict[str, Record], dict[str, str]]:
    """The records that can be read, and what is wrong with the others."""
    records, wrong = {}, {}
    for name in names_in(root, "commits"):
        try:
            records[name] = read_record(root, name)
        except CacheError as error:
            wrong[name] = str(error)
    return records, wrong


def _damage(root: Path, record: Record, identity: Identity) -> str | None:
    try:
        check_owner(root, record, identity)
        read_shard(root, record, identity)
    except CacheError as error:
        return str(error)
    return None


def _aside(root: Path, name: str, record: Record | None, reason: str) -> Iterator[Step]:
    for file in (name, *([record.file] if record else [])):
        if os.path.lexists(root / file):
            yield Step("quarantine", file, reason)


def _stale(root: Path, named: set[str]) -> Iterator[Step]:
    before = time.time() - SECONDS_UNTIL_STALE
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.startswith(f"{QUARANTINE}/") or not path.is_file() or path.is_symlink():
            continue
        temporary = publish.is_temporary(path.name)
        unnamed = name.startswith("data/") and name not in named
        if (temporary or unnamed) and path.stat().st_mtime < before:
            yield Step("remove", name, "temporary" if temporary else "no record names it")


def _lost(root: Path, seals: dict[str, Seal]) -> Iterator[Step]:
    """Files beside the shards that are not what a seal says."""
    for file in sorted({file for seal in seals.values() for file in seal.files}, key=str):
        try:
            check_file(root, file)
        except CacheError as error:
            yield Step(GET_AGAIN, file.file, str(error))


def _free(target: Path) -> Path:
    """`target`, or the first of target.1, target.2, … that an earlier repair has not taken."""
    number, free = 0, target
    while os.path.lexists(free):
        number += 1
        free = target.with_name(f"{target.name}.{number}")
    return free


def _carry_out(root: Path, steps: list[Step], sealed: dict[str, Record]) -> None:
    """Seals first: while a seal is there, what it lists is there too."""
    for step in sorted(steps, key=lambda step: not step.file.startswith(("MANIFEST", "seals/"))):
        path = root / step.file
        if step.action == "quarantine":
            publish.move(path, _free(root / QUARANTINE / step.file))
        elif step.action == "remove":
            publish.remove(path)
        elif step.action == "restore":
            if os.path.lexists(path):
                publish.move(path, _free(root / QUARANTINE / step.file))
            publish.create(path, sealed[step.file].to_bytes())
    if names_in(root, "seals"):
        publish_longest(root)
