"""Hostile caches by the names of files; see `tests/hostile/make.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixkd.shared.json_values import dumps
from tests.hostile.registry import hostile, register_as
from tests.hostile.sign import sign

MALFORMED = "MalformedError"

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
    def edit(header: dict[str, Any]) -> None:
        entry = {"path": name, "bytes": bait.stat().st_size, "sha256": "0" * 64}
        header["files"] = sorted([*header["files"], entry], key=lambda file: str(file["path"]))

    sign(root, edit_header=edit)


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
    "pickle": "student_init/layers-0/pytorch_model.bin",
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
