"""Hostile caches by links, pipes, names and JSON; see `tests/hostile/make.py`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.seal import SEAL_LIMIT_BYTES
from mixkd.shared.json_values import BYTES_OF_A_VALUE, VALUES_ALLOWED, dumps, sha256_hex
from tests.hostile.registry import hostile, register_as
from tests.hostile.sign import sign, write_seal

UNSAFE, MALFORMED, DAMAGED = "UnsafeFileError", "MalformedError", "DamagedFileError"


def first_pair_shard(root: Path) -> str:
    return Cache.open(root).pair_records[0].file


# Links and special files. What they lead to has the right bytes: only its place is wrong.


def link_out(root: Path, bait: Path, name: str) -> None:
    """A file, or a folder, moved out of the cache and linked to."""
    outside = bait.parent / "outside"
    outside.mkdir(exist_ok=True)
    place = root / name
    target = outside / place.name
    shutil.move(place, target)
    if target.is_file():
        shutil.copy(target, bait)
        target = bait
    place.symlink_to(target)


LINKED = {
    "manifest": "MANIFEST.json",
    "cache_file": "cache.json",
    "examples": "examples/train.arrow",
    "examples_folder": "examples",
    "data_folder": "data",
    "tokenizer_file": "tokenizer/tokenizer.json",
    "tokenizer_folder": "tokenizer",
    "student_folder": "student_init/1-layers",
    "students_folder": "student_init",
}
for key, linked in LINKED.items():
    register_as(
        f"link_{key}",
        "arrow",
        (UNSAFE,),
        lambda root, bait, name=linked: link_out(root, bait, name),
    )


@hostile("arrow", UNSAFE)
def link_shard(root: Path, bait: Path) -> None:
    link_out(root, bait, first_pair_shard(root))


@hostile("hdf5", UNSAFE)
def link_shard_hdf5(root: Path, bait: Path) -> None:
    link_out(root, bait, first_pair_shard(root))


@hostile("arrow", UNSAFE)
def link_to_device(root: Path, bait: Path) -> None:
    """An endless file, were it followed."""
    shard = root / first_pair_shard(root)
    shard.unlink()
    shard.symlink_to("/dev/zero")


@hostile("arrow", UNSAFE)
def link_to_itself(root: Path, bait: Path) -> None:
    shard = root / first_pair_shard(root)
    shard.unlink()
    shard.symlink_to(shard.name)


def special(root: Path, name: str, make: Callable[[Path], object]) -> None:
    (root / name).unlink()
    make(root / name)


for key, place in {"manifest": "MANIFEST.json", "tokenizer": "tokenizer/tokenizer.json"}.items():
    register_as(
        f"pipe_{key}", "arrow", (UNSAFE,), lambda root, bait, p=place: special(root, p, os.mkfifo)
    )


@hostile("arrow", UNSAFE)
def pipe_shard(root: Path, bait: Path) -> None:
    """Opening a pipe for reading waits for a writer for ever."""
    special(root, first_pair_shard(root), os.mkfifo)


@hostile("arrow", UNSAFE)
def folder_shard(root: Path, bait: Path) -> None:
    special(root, first_pair_shard(root), os.mkdir)


# Names.

PATHS = {
    "up": "../bait",
    "absolute": "/etc/passwd",
    "up_inside": "data/../../bait",
    "drive": "C:\\bait",
    "share": "\\\\host\\bait",
    "backslash": "data\\bait",
    "nul": "data/a\0b",
    "home": "~/bait",
    "escaped": "data/%2e%2e/bait",
    "long": "data/" + "a" * 5000,
    "url": "https://example.com/bait",
    "bucket": "s3://other/bait",
    "hidden": "data/.bait.arrow",
    "newline": "data/bait\n.arrow",
    "other_rows": "data/pairs-000000016-0123456789ab.arrow",
}


def shard_elsewhere(root: Path, bait: Path, name: str) -> None:
    def edit(seal: dict[str, Any]) -> None:
        seal["shards"][-1]["file"] = name

    sign(root, edit=edit)


def file_elsewhere(root: Path, bait: Path, name: str) -> None:
    def edit(seal: dict[str, Any]) -> None:
        entry = {"file": name, "bytes": bait.stat().st_size, "sha256": "0" * 64}
        seal["files"] = sorted([*seal["files"], entry], key=lambda file: file["file"])

    sign(root, edit=edit)


for key, name in PATHS.items():
    register_as(
        f"shard_name_{key}",
        "arrow",
        (MALFORMED,),
        lambda root, bait, name=name: shard_elsewhere(root, bait, name),
    )

FILES = {
    **{key: name.replace("data/", "tokenizer/") for key, name in PATHS.items()},
    "script": "tokenizer/tokenization_bait.py",
    "pickle": "student_init/1-layers/pytorch_model.bin",
    "students_up": "student_init/../bait.json",
    "readme": "README.md",
    "deep": "tokenizer/more/bait.json",
}
for key, name in FILES.items():
    register_as(
        f"file_name_{key}",
        "arrow",
        (MALFORMED,),
        lambda root, bait, name=name: file_elsewhere(root, bait, name),
    )


@hostile("arrow", MALFORMED)
def unsealed_tokenizer_code(root: Path, bait: Path) -> None:
    """A file that no seal names, but that a loader of tokenizers may find."""
    (root / "tokenizer" / "tokenizer_config.json").write_bytes(
        dumps({"auto_map": {"AutoTokenizer": ["bait.Bait", None]}})
    )


# JSON.


@hostile("arrow", UNSAFE)
def manifest_of_a_terabyte(root: Path, bait: Path) -> None:
    with (root / "MANIFEST.json").open("r+b") as file:
        file.truncate(2**40)


@hostile("arrow", UNSAFE)
def cache_file_of_a_terabyte(root: Path, bait: Path) -> None:
    with (root / "cache.json").open("r+b") as file:
        file.truncate(2**40)


@hostile("arrow", UNSAFE, MALFORMED)
def manifest_of_a_million_records(root: Path, bait: Path) -> None:
    import json

    seal = json.loads((root / "MANIFEST.json").read_bytes())
    record = dumps(seal["shards"][-1])
    with (root / "MANIFEST.json").open("wb") as file:
        file.writelines([b'{"shards": [', *[record] * 1_000_000])


@hostile("arrow", MALFORMED)
def manifest_of_empty_lists(root: Path, bait: Path) -> None:
    """Objects of 64 bytes from 4 each, in as many bytes as a reader takes at all."""
    (root / "MANIFEST.json").write_bytes(b"[" + b"[],\n" * (15 * 2**20) + b"1]\n")


@hostile("arrow", MALFORMED, memory_bytes=1100 * 2**20)
def manifest_as_dense_as_may_be(root: Path, bait: Path) -> None:
    """As many keys, none twice, as are let through to the parser, in a text of wide characters."""
    keys = VALUES_ALLOWED + SEAL_LIMIT_BYTES // BYTES_OF_A_VALUE - 8
    with (root / "MANIFEST.json").open("wb") as file:
        file.write(b"{\n")
        file.writelines(b' "%07d": %d,\n' % (key, key + 10**6) for key in range(keys))
        rest = SEAL_LIMIT_BYTES - file.tell() - len(b' "z": ""\n}\n')
        file.write(b' "z": "%s"\n}\n' % ("\U0001f600" * (rest // 4)).encode())


def raw_manifest(root: Path, data: bytes) -> None:
    (root / "MANIFEST.json").write_bytes(data)


RAW = {
    "deep_lists": b"[" * 200_000 + b"]" * 200_000,
    "deep_tables": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "digits": b'{"format": ' + b"9" * 5000 + b"}\n",
    "twice": b'{\n "format": 1,\n "format": 1\n}\n',
    "nan": b'{\n "format": NaN\n}\n',
    "surrogate": b'{\n "format": "\\ud800"\n}\n',
    "no_table": b"[]\n",
}
for key, data in RAW.items():
    register_as(
        f"json_{key}", "arrow", (MALFORMED,), lambda root, bait, data=data: raw_manifest(root, data)
    )


def set_at(seal: dict[str, Any], path: str, value: object) -> None:
    *above, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = seal
    for step in above:
        place = place[step]
    place[last] = value


VALUES = {
    "true_for_rows": ("rows.pairs", True),
    "true_for_start": ("shards.0.start", False),
    "float_for_rows": ("rows.originals", 28.0),
    "negative_bytes": ("shards.0.bytes", -1),
    "bytes_beyond_64_bits": ("shards.0.bytes", 2**64),
    "bytes_declared_huge": ("shards.0.bytes", 2**40),
    "bytes_declared_small": ("shards.0.bytes", 1),
    "rows_declared_huge": ("shards.1.stop", 2**50),
    "kind_unknown": ("shards.0.kind", "secrets"),
    "kind_no_text": ("shards.0.kind", ["pairs"]),
    "shard_no_table": ("shards.0", [1, 2, 3]),
    "files_no_list": ("files", {"file": "cache.json"}),
    "made_no_table": ("shards.0.made", "torch"),
    "score_of_400_digits": ("scores.train.accuracy", 10**400),
    "score_no_number": ("scores.train.accuracy", "1.0"),
    "scores_no_table": ("scores", []),
    "scores_deep": ("scores.train", {"accuracy": {"accuracy": 1}}),
    "extra_key": ("__class__", "os.system"),
    "fingerprint_foreign": ("fingerprint", "0" * 64),
    "format_newer": ("format", 2),
}
for key, (path, value) in VALUES.items():
    register_as(
        f"seal_{key}",
        "arrow",
        ("VersionError" if key == "format_newer" else MALFORMED,),
        lambda root, bait, p=path, v=value: sign(root, edit=lambda seal: set_at(seal, p, v)),
    )


@hostile("arrow", "AlignmentError")
def seal_scores_of_another_teacher(root: Path, bait: Path) -> None:
    sign(root, edit=lambda seal: seal["scores"]["train"].update(accuracy=0.9999))


@hostile("arrow", "AlignmentError")
def seal_without_scores(root: Path, bait: Path) -> None:
    sign(root, edit=lambda seal: seal.update(scores={}))


def identity_lies(root: Path, path: str, value: object) -> None:
    """Another identity, with its fingerprint right in cache.json, records and seal."""
    import json

    file = json.loads((root / "cache.json").read_bytes())
    set_at(file, path, value)
    file["fingerprint"] = sha256_hex(dumps(file["identity"]))
    sign(root, {"cache.json": dumps(file)})
    seal = json.loads((root / "MANIFEST.json").read_bytes())
    for record in [seal, *seal["shards"]]:
        record["fingerprint"] = file["fingerprint"]
    write_seal(root, seal)


IDENTITIES = {
    "rows_huge": ("identity.splits.0.rows", 2**50),
    "rows_none": ("identity.splits.1.rows", 0),
    "split_up": ("identity.splits.1.name", "../bait"),
    "split_twice": ("identity.splits.1.name", "train"),
    "one_split": ("identity.splits", []),
    "labels_twice": ("identity.label_names", ["a", "a", "b"]),
    "labels_many": ("identity.label_names", [f"{k}" for k in range(100_000)]),
    "columns_foreign": ("identity.teacher.columns", [0, 1, 7]),
    "columns_many": ("identity.teacher.columns", list(range(100_000))),
    "beta_zero": ("identity.mixup.beta", 0),
    "beta_of_400_digits": ("identity.mixup.beta", 10**400),
    "mask_unknown": ("identity.mixup.mask", "__import__"),
    "dtype_unknown": ("identity.logits_dtype", "object"),
    "problem_unknown": ("identity.problem_type", "multi_label_classification"),
    "shard_rows_none": ("shard_rows", 0),
    "about_no_table": ("about", []),
    "more_classes": ("identity.label_names", ["a", "b", "c", "d"]),
}
for key, (path, value) in IDENTITIES.items():
    register_as(
        f"identity_{key}",
        "arrow",
        (MALFORMED,),
        lambda root, bait, p=path, v=value: identity_lies(root, p, v),
    )


@hostile("arrow", UNSAFE, MALFORMED, DAMAGED)
def shard_of_a_gibibyte(root: Path, bait: Path) -> None:
    """Holes on the disk, but a reader that believed the record would read a gibibyte."""
    size = 2**30

    def edit(seal: dict[str, Any]) -> None:
        record = seal["shards"][-1]
        record["bytes"] = size
        with (root / record["file"]).open("r+b") as file:
            file.truncate(size)

    sign(root, edit=edit)


@hostile("arrow", DAMAGED)
def shard_longer_than_declared(root: Path, bait: Path) -> None:
    with (root / first_pair_shard(root)).open("r+b") as file:
        file.truncate(2**40)


@hostile("arrow", MALFORMED)
def control_characters(root: Path, bait: Path) -> None:
    """The message must not move the cursor of who reads it."""
    identity_lies(root, "identity.mixup.mask", "\x1b[2J\x07\r\nerror: none\u202e")
