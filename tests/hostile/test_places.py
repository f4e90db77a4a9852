"""Something odd in every place of a cache, and every command that reads or writes one.

Links to elsewhere, pipes, devices, folders for files and files for folders: each command ends
quickly, in order or with a named error, and nothing outside the cache is touched.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import MixkdError
from mixkd.teacher_cache.build import Built
from mixkd.teacher_cache.run import RunFacts, _note_run
from tests import caches, tiers
from tests.numpy_caches import sealed
from tests.tiers import Part

PAIRS, MORE_PAIRS = 16, 32
LIMIT_S = 20
FOLDERS = (
    *("data", "commits", "seals", "runs", "examples", "tokenizer", "student_init"),
    *("student_init/layers-0", "quarantine", "quarantine/commits", "quarantine/data", "rows"),
)
FILES = (
    *("README.md", "MANIFEST.json", "cache.json", "examples/train.arrow", "rows/train.arrow"),
    *("tokenizer/tokenizer.json", "student_init/layers-0/config.json"),
    *("commits/pairs-000000000.json", "commits/pairs-000000016.json"),
)
FIRST = ("data/pairs-*", "seals/*")  # a glob: the first one that it finds


def note_run(root: Path) -> None:
    _note_run(root, RunFacts.of(Built(1, 0, 1.0, True), caches.NO_TORCH))


COMMANDS: dict[str, Callable[[Path], object]] = {
    "build or extend": lambda root: sealed(root, MORE_PAIRS),
    "seal": caches.seal,
    "repair": repair_cache,
    "repair --dry-run": lambda root: repair_cache(root, dry_run=True),
    "verify": verify_cache,
    "note a run": note_run,
}


def link(place: Path, bait: Path) -> None:
    place.symlink_to(bait)


def moved_away(place: Path, bait: Path) -> None:
    """What was there, behind a link: as an attacker has it who wants the cache to open."""
    shutil.rmtree(bait)
    shutil.move(place, bait)
    place.symlink_to(bait)


def dangling(place: Path, bait: Path) -> None:
    place.symlink_to(bait / "nothing")


def circle(place: Path, bait: Path) -> None:
    place.symlink_to(place.name)


def pipe(place: Path, bait: Path) -> None:
    os.mkfifo(place)


def endless(place: Path, bait: Path) -> None:
    place.symlink_to("/dev/zero")


def folder(place: Path, bait: Path) -> None:
    place.mkdir()
    (place / "a file").write_bytes(b"of somebody")


def file(place: Path, bait: Path) -> None:
    place.write_bytes(b"of somebody")


KINDS = (link, moved_away, dangling, circle, pipe, endless, folder, file)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("made") / "cache", PAIRS)


@contextmanager
def ended_by(seconds: int) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not ended after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def state(bait: Path) -> dict[str, tuple[int, bytes | None]]:
    """Names, contents and times."""
    return {
        path.relative_to(bait).as_posix(): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in (bait, *bait.rglob("*"))
    }


def put(root: Path, place: str, kind: Callable[[Path, Path], None]) -> Path:
    """Put something in a place of the cache, and bait outside."""
    bait = root.parent / "outside"
    bait.mkdir()
    for name in ("theirs", "theirs.tmp-0123456789abcdef", "pairs-000000099-0123456789ab.arrow"):
        (bait / name).write_bytes(b"theirs")
        os.utime(bait / name, (0, 0))
    where = next(iter(sorted(root.glob(place))), root / place)
    where.parent.mkdir(exist_ok=True, parents=True)
    if kind is moved_away and where.exists():
        kind(where, bait)
        return bait
    if kind is moved_away:
        kind = link
    if where.is_dir():
        shutil.rmtree(where)
    else:
        where.unlink(missing_ok=True)
    kind(where, bait)
    return bait


def damage(root: Path) -> None:
    """Something to repair: a record and a shard."""
    for pattern in ("commits/originals-*", "data/originals-*"):
        path = sorted(root.glob(pattern))[0]
        if path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes()[:-1])


def run(command: Callable[[Path], object], root: Path, bait: Path) -> None:
    """Run a command that ends quickly, in order or with a named error; the bait stays as it is."""
    before = state(bait)
    with suppress(MixkdError), ended_by(LIMIT_S):
        command(root)
    assert state(bait) == before


@pytest.mark.parametrize("part", tiers.parts(every=7), ids=str)
def test_each_command_ends_and_touches_nothing_outside(
    tmp_path: Path, cache: Path, part: Part
) -> None:
    cases = itertools.product((*FOLDERS, *FILES, *FIRST), KINDS, COMMANDS)
    for place, kind, name in part.of(list(cases)):
        root = tmp_path / f"{place.replace('/', ' ')} {kind.__name__} {name}" / "cache"
        shutil.copytree(cache, root)
        bait = put(root, place, kind)
        if name.startswith("repair") and place not in ("data", "commits"):
            damage(root)
        run(COMMANDS[name], root, bait)


@pytest.mark.parametrize("part", tiers.parts(every=5), ids=str)
def test_a_new_build_ends_and_touches_nothing_outside(tmp_path: Path, part: Part) -> None:
    for place, kind in part.of(list(itertools.product((*FOLDERS, *FILES), KINDS))):
        root = tmp_path / f"{place.replace('/', ' ')} {kind.__name__}" / "cache"
        root.mkdir(parents=True)
        run(lambda root: sealed(root, PAIRS), root, put(root, place, kind))


@pytest.mark.parametrize("kind", [pipe, dangling, endless, link, file])
@pytest.mark.parametrize("name", ["README.md", "MANIFEST.json", "rows/train.arrow"])
def test_what_a_seal_writes_takes_the_place_of_anything_but_a_folder(
    tmp_path: Path, cache: Path, name: str, kind: Callable[[Path, Path], None]
) -> None:
    root = tmp_path / "0" / "cache"
    shutil.copytree(cache, root)
    put(root, name, kind)
    caches.seal(root)
    assert (root / name).read_bytes() == (cache / name).read_bytes()
    assert not (root / name).is_symlink()


@pytest.mark.parametrize("name", ["README.md", "MANIFEST.json", "rows/train.arrow"])
def test_a_folder_in_the_place_of_a_file_is_named_and_repaired(
    tmp_path: Path, cache: Path, name: str
) -> None:
    root = tmp_path / "0" / "cache"
    shutil.copytree(cache, root)
    put(root, name, folder)
    with pytest.raises(MixkdError, match=f"{name}: expected a file, or nothing, found a folder"):
        caches.seal(root)
    assert [step.file for step in repair_cache(root)] == [name]
    assert (root / "quarantine" / name / "a file").read_bytes() == b"of somebody"
    assert Cache.open(root).pin == Cache.open(cache).pin
    assert verify_cache(root) == []


@pytest.mark.parametrize("kind", [link, dangling, circle, pipe, file])
def test_what_is_in_the_place_of_the_folder_of_rows_is_named_and_repaired(
    tmp_path: Path, cache: Path, kind: Callable[[Path, Path], None]
) -> None:
    root = tmp_path / "0" / "cache"
    shutil.copytree(cache, root)
    bait = put(root, "rows", kind)
    before = state(bait)
    with pytest.raises(MixkdError, match=r"rows: expected a folder of the cache itself"):
        caches.seal(root)
    assert [step.file for step in repair_cache(root)] == ["rows"]
    assert (root / "rows/train.arrow").read_bytes() == (cache / "rows/train.arrow").read_bytes()
    assert verify_cache(root) == []
    assert state(bait) == before
