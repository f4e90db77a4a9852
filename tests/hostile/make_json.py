"""Hostile caches by the values in their JSON files; bombs are in `tests/hostile/make_bombs.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mixkd.shared.cache.header import HEADER
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.seal import MANIFEST
from mixkd.shared.json_values import dumps, sha256_hex
from tests.hostile.registry import hostile, register_as
from tests.hostile.sign import sign, write_manifest, write_seal

UNSAFE, MALFORMED, DAMAGED = "UnsafeFileError", "MalformedError", "DamagedFileError"


@hostile("arrow", UNSAFE)
def manifest_of_a_terabyte(root: Path, bait: Path) -> None:
    with (root / MANIFEST).open("r+b") as file:
        file.truncate(2**40)


@hostile("arrow", UNSAFE)
def cache_file_of_a_terabyte(root: Path, bait: Path) -> None:
    with (root / HEADER).open("r+b") as file:
        file.truncate(2**40)


@hostile("arrow", UNSAFE)
def manifest_of_a_million_records(root: Path, bait: Path) -> None:
    seal = json.loads((root / MANIFEST).read_bytes())
    record = dumps(seal["shards"][-1])
    with (root / MANIFEST).open("wb") as file:
        file.writelines([b'{"shards": [', *[record] * 1_000_000])


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
        f"json_{key}",
        "arrow",
        (MALFORMED,),
        lambda root, bait, data=data: write_manifest(root, data),
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
    "files_no_list": ("files", {"path": "cache.json"}),
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
    file = json.loads((root / HEADER).read_bytes())
    set_at(file, path, value)
    file["fingerprint"] = sha256_hex(dumps(file["identity"]))
    sign(root, {HEADER: dumps(file)})
    seal = json.loads((root / MANIFEST).read_bytes())
    for record in [seal, *seal["shards"]]:
        record["fingerprint"] = file["fingerprint"]
    write_seal(root, seal)


IDENTITIES = {
    "rows_huge": ("identity.splits.0.rows", 2**50),
    "rows_none": ("identity.splits.1.rows", 0),
    "labelled_more_than_rows": ("identity.splits.0.labelled", 21),
    "labelled_fewer_than_there_are": ("identity.splits.0.labelled", 3),
    "validation_without_a_label": ("identity.splits.1.labelled", 0),
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
    "problem_unknown": ("identity.problem_type", "token_classification"),
    "problem_of_several_labels": ("identity.problem_type", "multi_label_classification"),
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
    with (root / Cache.open(root).pair_records[0].file).open("r+b") as file:
        file.truncate(2**40)


@hostile("arrow", MALFORMED)
def control_characters(root: Path, bait: Path) -> None:
    """The message must not move the cursor of who reads it."""
    identity_lies(root, "identity.mixup.mask", "\x1b[2J\x07\r\nerror: none\u202e")
