"""Signs a changed cache again: digests, names, records and seal are valid, only the content lies.

Without this a reader's digest check would refuse a hostile file before any parser saw it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mixkd.shared.json_values import dumps, sha256_hex

HEADER = "cache.json"
MANIFEST = "MANIFEST.json"
FOLDERS = ("examples/", "tokenizer/", "student_init/")


def sign(
    root: Path,
    contents: Mapping[str, bytes] | None = None,
    *,
    edit: Callable[[dict[str, Any]], None] = lambda seal: None,
) -> dict[str, str]:
    """Put `contents` in place of files of the cache, `edit` the seal's JSON, and sign everything.

    Returns:
        Old name -> new name of each file in `contents`: a shard's name follows its digest.
    """
    seal = json.loads((root / MANIFEST).read_bytes())
    names = {}
    for name, data in (contents or {}).items():
        if name.startswith("data/"):
            names[name] = _sign_shard(root, seal, name, data)
        else:
            names[name] = name
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
            _sign_file(root, seal, name, data)
    edit(seal)
    write_seal(root, seal)
    return names


def write_seal(root: Path, seal: dict[str, Any]) -> str:
    """Write a seal's JSON as MANIFEST.json and under the name of its digest; the pin."""
    return write_manifest(root, dumps(seal))


def write_manifest(root: Path, data: bytes) -> str:
    """Write MANIFEST.json and the seal of the same bytes; the pin."""
    pin = sha256_hex(data)
    (root / MANIFEST).write_bytes(data)
    (root / "seals" / f"{pin}.json").write_bytes(data)
    return pin


def _sign_shard(root: Path, seal: dict[str, Any], name: str, data: bytes) -> str:
    record = next(record for record in seal["shards"] if record["file"] == name)
    path = root / name
    sha256 = sha256_hex(data)
    record["file"] = f"data/{record['kind']}-{record['start']:09d}-{sha256[:12]}{path.suffix}"
    record["bytes"], record["sha256"] = len(data), sha256
    (root / record["file"]).write_bytes(data)
    (root / f"commits/{record['kind']}-{record['start']:09d}.json").write_bytes(dumps(record))
    return str(record["file"])


def _sign_file(root: Path, seal: dict[str, Any], name: str, data: bytes) -> None:
    """In the header too, which lists everything but itself."""
    _list_file(seal, name, data)
    if name.startswith(FOLDERS):
        header = json.loads((root / HEADER).read_bytes())
        _list_file(header, name, data)
        (root / HEADER).write_bytes(dumps(header))
        _list_file(seal, HEADER, dumps(header))


def _list_file(table: dict[str, Any], name: str, data: bytes) -> None:
    entry = {"path": name, "bytes": len(data), "sha256": sha256_hex(data)}
    others = [file for file in table["files"] if file["path"] != name]
    table["files"] = sorted([*others, entry], key=lambda file: file["path"])
