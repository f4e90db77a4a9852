"""Links in every place of a cache, also where a writer would create a folder or file.

A link may lead to what is right or to anything else, and is read if it gives what the seal says.
Nothing is written, moved or removed through it, and nothing waits. A case is made in a folder of
its own, beside a folder `outside` that is compared before and after.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from random import Random

from tests.hostile.watch import Watch

# Where a link leads: a copy of what was there, within the cache or outside; a file or an empty
# folder outside; itself; nowhere; a pipe.
KINDS = ("inside", "outside", "outside", "bait", "empty", "empty", "itself", "nothing", "pipe")
# What a writer may create or replace.
WRITTEN = ("quarantine", "quarantine/commits", "quarantine/data", "runs", "README.md", "rows")
UNNAMED = "unnamed"
State = dict[str, tuple[int, int, bytes]]


def draw(random: Random, files: Iterable[str]) -> dict[str, str]:
    """Places in a cache of these files -> where the link there leads."""
    files = sorted(files)
    folders = sorted(
        {str(above) for file in files for above in PurePosixPath(file).parents} - {"."}
    )
    places = [random.choice((*folders, *WRITTEN, *random.sample(files, 3))) for _ in range(3)]
    chosen = dict.fromkeys(places[: random.choice((1, 1, 2, 3))])
    return {place: random.choice(KINDS) for place in chosen}


@dataclass(frozen=True, slots=True)
class Placed:
    """A cache with links, and what lies outside it.

    Attributes:
        before: What was outside.
        watch: On a file outside that no link leads to.
    """

    root: Path
    outside: Path
    before: State
    watch: Watch

    def fault(self) -> str | None:
        """What was done outside the cache that may not be; None if nothing."""
        if self.watch.opened():
            return "a file outside was opened that no link leads to"
        after = state(self.outside)
        changed = sorted(k for k in {*self.before, *after} if self.before.get(k) != after.get(k))
        return f"written outside the cache: {', '.join(changed)[:200]}" if changed else None


@contextmanager
def placed(folder: Path, files: Mapping[str, bytes], links: Mapping[str, str]) -> Iterator[Placed]:
    """Write a cache with links into a new folder, which is removed in the end."""
    shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
    root, outside = folder / "cache", folder / "outside"
    outside.mkdir(parents=True)
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    for number, (place, kind) in enumerate(links.items()):
        _link(root, outside, place, kind, number)
    (outside / UNNAMED).write_bytes(b"unnamed")
    try:
        before = state(outside)
        with Watch(outside / UNNAMED) as watch:
            yield Placed(root, outside, before, watch)
    finally:
        shutil.rmtree(folder)


def _link(root: Path, outside: Path, place: str, kind: str, number: int) -> None:
    path = root / place
    if any(above.is_symlink() for above in path.parents):
        return  # another link has taken its place
    path.parent.mkdir(parents=True, exist_ok=True)
    exists = path.exists()
    target = (root if kind == "inside" else outside) / f"{number}-{path.name}"
    if kind == "itself":
        target = path
    elif kind in ("inside", "outside") and exists:
        shutil.move(path, target)
    elif kind == "bait":
        target.write_bytes(b"bait")
    elif kind == "pipe":
        os.mkfifo(target)
    elif kind != "nothing":
        target.mkdir()
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def state(folder: Path) -> State:
    """Name -> kind, time and content of all that is in a folder; links are not followed."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        read = path.is_file() and not path.is_symlink() and path.name != UNNAMED
        data = path.read_bytes() if read else b""
        found[path.relative_to(folder).as_posix()] = (status.st_mode, status.st_mtime_ns, data)
    return found
