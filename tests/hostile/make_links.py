"""Caches with links and special files: what a link leads to is read if it is what the seal says.

What it leads to in the harmless ones has the right bytes, and only its place is odd: the Hub's own
local cache consists of such links. In the hostile ones it is anything else; nothing may wait for it
or read it without end.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.seal import seal_name
from tests.hostile.registry import hostile, register_as

UNSAFE, MALFORMED, DAMAGED = "UnsafeFileError", "MalformedError", "DamagedFileError"
MISSING, UNSEALED = "MissingFileError", "UnsealedError"
Place = Callable[[Path], Path]


def at(name: str) -> Place:
    return lambda root: root / name


def first_pair_shard(root: Path) -> Path:
    return root / Cache.open(root).pair_records[0].file


def first_original_shard(root: Path) -> Path:
    return root / Cache.open(root).seal.records("originals")[0].file


def own_seal(root: Path) -> Path:
    """The seal that MANIFEST.json must be equal to."""
    return root / seal_name(Cache.open(root).pin)


FILES: dict[str, Place] = {
    "manifest": at("MANIFEST.json"),
    "seal": own_seal,
    "cache_file": at("cache.json"),
    "examples": at("examples/train.arrow"),
    "shard": first_pair_shard,
    "originals": first_original_shard,
    "tokenizer_file": at("tokenizer/tokenizer.json"),
    "student_file": at("student_init/layers-0/config.json"),
}
FOLDERS: dict[str, Place] = {
    "seals_folder": at("seals"),
    "examples_folder": at("examples"),
    "data_folder": at("data"),
    "tokenizer_folder": at("tokenizer"),
    "student_folder": at("student_init/layers-0"),
    "students_folder": at("student_init"),
}


# Links to what is right.


def link_out(root: Path, bait: Path, place: Place) -> None:
    """A file, or a folder, moved out of the cache and linked to."""
    outside = bait.parent / "outside"
    outside.mkdir(exist_ok=True)
    path = place(root)
    shutil.move(path, outside / path.name)
    path.symlink_to(outside / path.name)


for key, place in {**FILES, **FOLDERS}.items():
    register_as(f"link_{key}", "arrow", (), lambda root, bait, p=place: link_out(root, bait, p))
register_as("link_shard_hdf5", "hdf5", (), lambda root, bait: link_out(root, bait, FILES["shard"]))


@hostile("arrow")
def link_of_every_file(root: Path, bait: Path) -> None:
    """As the Hub's client lays out a download: a folder of links to files named by their digest."""
    blobs = bait.parent / "blobs"
    blobs.mkdir()
    for number, path in enumerate(sorted(path for path in root.rglob("*") if path.is_file())):
        shutil.move(path, blobs / str(number))
        path.symlink_to(os.path.relpath(blobs / str(number), path.parent))


@hostile("arrow")
def link_to_a_link(root: Path, bait: Path) -> None:
    link_out(root, bait, FILES["manifest"])
    chained = bait.parent / "chained"
    chained.symlink_to(bait.parent / "outside" / "MANIFEST.json")
    (root / "MANIFEST.json").unlink()
    (root / "MANIFEST.json").symlink_to(chained)


# Links to what is wrong, and the same things without a link.


def other_content(path: Path, target: Path) -> None:
    """Of the same size, so that the digest alone tells."""
    data = path.read_bytes()
    target.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def longer_content(path: Path, target: Path) -> None:
    target.write_bytes(path.read_bytes() + b" ")


def endless_content(path: Path, target: Path) -> None:
    """Larger than what is read at all, without room on the disk."""
    with target.open("wb") as file:
        file.truncate(2**40)


def bound_socket(path: Path, target: Path) -> None:
    """Bound by a short name: a socket's may not be long."""
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{folder}/{target.name}")
    finally:
        os.close(folder)


TARGETS: dict[str, tuple[Callable[[Path, Path], object], tuple[str, ...]]] = {
    "different_content": (other_content, (DAMAGED,)),
    "longer_content": (longer_content, (DAMAGED,)),
    "endless_content": (endless_content, (DAMAGED, UNSAFE)),
    "empty_file": (lambda path, target: target.touch(), (DAMAGED, MALFORMED)),
    "pipe": (lambda path, target: os.mkfifo(target), (UNSAFE,)),
    "socket": (bound_socket, (UNSAFE,)),
    "folder": (lambda path, target: target.mkdir(), (UNSAFE,)),
    "device": (lambda path, target: target.symlink_to("/dev/zero"), (UNSAFE,)),
    "terminal": (lambda path, target: target.symlink_to("/dev/tty"), (UNSAFE,)),
    "itself": (lambda path, target: target.symlink_to(target.name), (UNSAFE,)),
    "process_memory": (lambda path, target: target.symlink_to("/proc/self/mem"), (DAMAGED,)),
    "nothing": (lambda path, target: None, (MISSING,)),
}


def link_to(root: Path, bait: Path, place: Place, make: Callable[[Path, Path], object]) -> None:
    path = place(root)
    target = bait.parent / "target"
    make(path, target)
    path.unlink()
    path.symlink_to(target)


for key, place in FILES.items():
    for wrong, (make, errors) in TARGETS.items():
        if wrong == "nothing":  # MANIFEST.json then has a content of no seal
            errors = {"manifest": (UNSEALED,), "seal": (DAMAGED,)}.get(key, errors)
        elif key == "cache_file" and DAMAGED in errors:  # parsed before its digest is compared
            errors = (*errors, MALFORMED)
        register_as(
            f"link_{key}_to_{wrong}",
            "arrow",
            errors,
            lambda root, bait, p=place, m=make: link_to(root, bait, p, m),
        )


def link_folder_to(root: Path, bait: Path, place: Place, make: Callable[[Path], object]) -> None:
    path = place(root)
    target = bait.parent / "target"
    make(target)
    shutil.rmtree(path)
    path.symlink_to(target)


FOLDER_TARGETS: dict[str, Callable[[Path], object]] = {
    "empty_folder": lambda target: target.mkdir(),
    "file": lambda target: target.write_bytes(b"{}\n"),
    "pipe": os.mkfifo,
    "itself": lambda target: target.symlink_to(target.name),
    "nothing": lambda target: None,
}
for key, place in FOLDERS.items():
    for wrong, make_target in FOLDER_TARGETS.items():
        register_as(
            f"link_{key}_to_{wrong}",
            "arrow",
            (UNSAFE, MALFORMED, MISSING, DAMAGED),
            lambda root, bait, p=place, m=make_target: link_folder_to(root, bait, p, m),
        )


@hostile("arrow", DAMAGED)
def link_shards_exchanged(root: Path, bait: Path) -> None:
    """Two shards of the cache, each under the other's name."""
    first, second = (root / record.file for record in Cache.open(root).pair_records[:2])
    kept = bait.parent / "kept"
    shutil.move(first, kept)
    first.symlink_to(second)
    second.rename(first.with_name("second.arrow"))
    first.unlink()
    first.symlink_to("second.arrow")
    second.symlink_to(kept)


@hostile("arrow", UNSAFE)
def link_to_device(root: Path, bait: Path) -> None:
    """An endless file, were it read: without another link between."""
    shard = first_pair_shard(root)
    shard.unlink()
    shard.symlink_to("/dev/zero")


@hostile("hdf5", UNSAFE)
def link_to_device_hdf5(root: Path, bait: Path) -> None:
    shard = first_pair_shard(root)
    shard.unlink()
    shard.symlink_to("/dev/zero")


@hostile("arrow", UNSAFE)
def link_to_itself(root: Path, bait: Path) -> None:
    shard = first_pair_shard(root)
    shard.unlink()
    shard.symlink_to(shard.name)


def special(root: Path, place: Place, make: Callable[[Path], object]) -> None:
    path = place(root)
    path.unlink()
    make(path)


for key in ("manifest", "tokenizer_file", "shard", "seal", "examples"):
    register_as(
        f"pipe_{key}",
        "arrow",
        (UNSAFE,),
        lambda root, bait, p=FILES[key]: special(root, p, os.mkfifo),
    )


@hostile("arrow", UNSAFE)
def folder_shard(root: Path, bait: Path) -> None:
    special(root, first_pair_shard, os.mkdir)
