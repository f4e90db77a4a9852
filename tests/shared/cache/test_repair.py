"""Verify, repair, build, verify: damage goes aside, gaps are filled, good shards stay untouched."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.json_values import dumps
from mixkd.teacher_cache.cli import cache_teacher
from tests.caches import build, seal
from tests.goldens import make


@pytest.fixture(params=make.FORMATS)
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make.make(tmp_path / "cache", request.param)


def shard_of(root: Path) -> Path:
    return root / Cache.open(root).pair_records[1].file


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def append(file: Path, junk: bytes) -> None:
    file.write_bytes(file.read_bytes() + junk)


def foreign(root: Path, file: Path) -> None:
    """A file of another cache in its place."""
    other = make.make(root.parent / "other", Cache.open(root).header.shard_format)
    sign_as(other, "f" * 64)
    file.write_bytes((other / file.relative_to(root)).read_bytes())


def sign_as(root: Path, fingerprint: str) -> None:
    for path in (root / "commits").iterdir():
        record = json.loads(path.read_bytes())
        path.write_bytes(dumps({**record, "fingerprint": fingerprint}))


def longer(record: Path) -> None:
    """Rows that overlap the next shard's."""
    value = json.loads(record.read_bytes())
    record.write_bytes(dumps({**value, "stop": value["stop"] + 8}))


def edit(file: Path, **changes: object) -> None:
    file.write_bytes(dumps({**json.loads(file.read_bytes()), **changes}))


def dangling(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


RECORD = "commits/pairs-000000016.json"
TEXTS = {
    "empty": b"",
    "one byte": b"{",
    "of zeros": bytes(300),
    "in UTF-16": "{}\n".encode("utf-16"),
    "with a byte order mark": b"\xef\xbb\xbf{}\n",
    "of another kind": b"[]\n",
}


def found(path: Path) -> tuple[int, int]:
    """What changes when a file is written again."""
    return path.stat().st_ino, path.stat().st_mtime_ns


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a flipped bit in a shard": lambda root: flip(shard_of(root)),
    "a cut shard": lambda root: os.truncate(shard_of(root), 100),
    "a lost shard": lambda root: shard_of(root).unlink(),
    "a flipped bit in a record": lambda root: flip(root / "commits/pairs-000000016.json"),
    "a lost record": lambda root: (root / "commits/pairs-000000016.json").unlink(),
    "a flipped bit in the manifest": lambda root: flip(root / "MANIFEST.json"),
    "a lost manifest": lambda root: (root / "MANIFEST.json").unlink(),
    "another value in a record": lambda root: edit(root / RECORD, made={"device": "other"}),
    "a link to nothing for a record": lambda root: dangling(root / RECORD),
    "a flipped bit in a seal": lambda root: flip(next((root / "seals").glob("*"))),
    "every seal lost": lambda root: shutil.rmtree(root / "seals"),
    "an empty shard": lambda root: os.truncate(shard_of(root), 0),
    "junk behind a shard": lambda root: append(shard_of(root), b"PK\3\4"),
    "two shards swapped": lambda root: swap(
        shard_of(root), root / Cache.open(root).pair_records[0].file
    ),
    "a record of another cache": lambda root: foreign(root, root / RECORD),
    "a record of more rows": lambda root: longer(root / RECORD),
    "two records swapped": lambda root: swap(root / RECORD, root / "commits/pairs-000000032.json"),
    **{
        f"a {file} {text}": lambda root, place=place, data=data: (root / place).write_bytes(data)
        for file, place in (("record", RECORD), ("manifest", "MANIFEST.json"))
        for text, data in TEXTS.items()
    },
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_repaired_and_filled(cache: Path, damage: str) -> None:
    manifest = (cache / "MANIFEST.json").read_bytes()
    bad = shard_of(cache)
    other = cache / Cache.open(cache).pair_records[0].file
    damaged = {bad, other} if "swapped" in damage else {bad}
    before = {path: found(path) for path in (cache / "data").iterdir() if path not in damaged}
    shard_format = Cache.open(cache).header.shard_format
    DAMAGES[damage](cache)
    assert [finding for finding in verify_cache(cache) if not finding.harmless]
    planned = repair_cache(cache, dry_run=True)
    assert repair_cache(cache) == planned
    make.make(cache, shard_format)
    assert verify_cache(cache, deep=True) == []
    assert (cache / "MANIFEST.json").read_bytes() == manifest
    assert {path: found(path) for path in before} == before


def test_seals_that_are_not_what_their_names_say(cache: Path) -> None:
    opened = Cache.open(cache)
    make.make(cache, opened.pair_records[0].codec.name, opened.seal.rows.pairs + 16)
    manifest = (cache / "MANIFEST.json").read_bytes()
    swap(*(cache / "seals").iterdir())
    assert [finding for finding in verify_cache(cache) if not finding.harmless]
    assert [step.action for step in repair_cache(cache)] == ["quarantine"] * 3  # MANIFEST too
    seal(cache)
    assert verify_cache(cache) == []
    assert (cache / "MANIFEST.json").read_bytes() == manifest


def test_a_link_to_nothing_in_quarantine_is_kept(cache: Path) -> None:
    dangling(cache / RECORD)
    for _ in range(2):
        repair_cache(cache)
        dangling(cache / RECORD)
    aside = sorted(path.name for path in (cache / "quarantine/commits").iterdir())
    assert aside == [Path(RECORD).name, f"{Path(RECORD).name}.1"]


@pytest.mark.parametrize("damage", ["shard", "record", "foreign", "large"])
def test_damage_beyond_the_seal_is_found(cache: Path, damage: str) -> None:
    """The next seal would take these rows as they are."""
    shard_format = Cache.open(cache).header.shard_format
    pairs = Cache.open(cache).seal.rows.pairs
    build(make.job(cache, shard_format, pairs + 32), make.score, accept=lambda logits: None)
    record = max((cache / "commits").glob("pairs-*"))
    assert not [finding for finding in verify_cache(cache, deep=True) if not finding.harmless]
    value = json.loads(record.read_bytes())
    shard = cache / value["file"]
    if damage == "foreign":
        record.write_bytes(dumps({**value, "fingerprint": "f" * 64}))
    elif damage == "large":  # of holes
        os.truncate(shard, 2**29)
        record.write_bytes(dumps({**value, "bytes": 2**29}))
    else:
        flip(record if damage == "record" else shard)
    (found,) = [finding.message for finding in verify_cache(cache) if not finding.harmless]
    assert record.name in found or shard.name in found
    assert damage != "large" or "bytes for its rows" in found  # and not one is read
    repair_cache(cache)
    make.make(cache, shard_format, pairs + 32)
    assert verify_cache(cache, deep=True) == []


@pytest.mark.parametrize(
    "name",
    ["examples/train.arrow", "tokenizer/tokenizer.json", "student_init/layers-0/config.json"],
)
def test_what_no_build_makes_again_is_named(cache: Path, name: str) -> None:
    content = (cache / name).read_bytes()
    flip(cache / name)
    assert [(step.action, step.file) for step in repair_cache(cache)] == [("get again", name)]
    named = [name in finding.message for finding in verify_cache(cache)]
    assert named
    assert all(named)
    assert CliRunner().invoke(cache_teacher, ["repair", str(cache)]).exit_code == 1
    (cache / name).write_bytes(content)
    assert repair_cache(cache) == []
    assert verify_cache(cache) == []


def test_a_second_repair_keeps_what_the_first_put_aside(cache: Path) -> None:
    shard = shard_of(cache)
    shard_format = Cache.open(cache).header.shard_format
    good = shard.read_bytes()
    for length in (100, 200, 300):
        shard.write_bytes(good[:length])
        repair_cache(cache)
        make.make(cache, shard_format)
    aside = sorted((cache / "quarantine/data").iterdir())
    assert [path.name for path in aside] == [shard.name, f"{shard.name}.1", f"{shard.name}.2"]
    assert [path.read_bytes() for path in aside] == [good[:n] for n in (100, 200, 300)]
    assert verify_cache(cache) == []


def test_a_sound_cache_needs_nothing(cache: Path) -> None:
    assert repair_cache(cache) == []


def test_left_overs_are_removed_after_a_day(cache: Path) -> None:
    old, young = (cache / f"data/{name}.arrow.tmp-0123456789abcdef" for name in "xy")
    unnamed = cache / "data/pairs-000000099-0123456789ab.arrow"
    for path in (old, young, unnamed):
        path.write_bytes(b"")
    long_ago = time.time() - 25 * 3600
    os.utime(old, (long_ago, long_ago))
    assert [finding.harmless for finding in verify_cache(cache)] == [True] * 3
    assert [(step.action, step.file) for step in repair_cache(cache)] == [
        ("remove", "data/x.arrow.tmp-0123456789abcdef")
    ]
    assert not old.exists()
    assert young.exists()
    assert unnamed.exists()


def make_old(*files: Path) -> None:
    """Older than what a running builder may still need."""
    long_ago = time.time() - 25 * 3600
    for path in files:
        os.utime(path, (long_ago, long_ago))


def test_old_left_overs_of_every_kind_are_removed(cache: Path) -> None:
    names = [
        "MANIFEST.json.tmp-0123456789abcdef",
        "commits/x.json.tmp-0123456789abcdef",
        "data/pairs-000000099-0123456789ab.arrow",
    ]
    for name in names:
        (cache / name).touch()
        make_old(cache / name)
    assert {(step.action, step.file) for step in repair_cache(cache)} == {
        ("remove", name) for name in names
    }
    assert not [name for name in names if (cache / name).exists()]


def test_a_shard_that_only_a_seal_names_is_kept(cache: Path) -> None:
    """Its record is lost and the cache is old: it is no left-over all the same."""
    make_old(shard_of(cache))
    (cache / RECORD).unlink()
    assert [(step.action, step.file) for step in repair_cache(cache)] == [("restore", RECORD)]
    assert verify_cache(cache) == []


def test_a_shard_that_only_a_record_names_is_kept(cache: Path) -> None:
    """It was committed, and not sealed yet."""
    opened = Cache.open(cache)
    longer = make.job(cache, opened.pair_records[0].codec.name, opened.seal.rows.pairs + 32)
    build(longer, make.score, accept=lambda logits: None)
    make_old(*(cache / "data").iterdir())
    assert repair_cache(cache) == []


def test_after_a_repair_the_longest_sound_seal_is_read(cache: Path) -> None:
    before = Cache.open(cache)
    make.make(cache, before.pair_records[0].codec.name, before.seal.rows.pairs + 32)
    (cache / Cache.open(cache).pair_records[-1].file).unlink()
    repair_cache(cache)
    assert Cache.open(cache).seal == before.seal
    assert not [finding for finding in verify_cache(cache) if not finding.harmless]
