"""Signs a changed cache again: digests, names, records and seal are valid, only the content lies.

Without this a reader's digest check would refuse a hostile file before any parser saw it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mixkd.shared.cache.header import HEADER
from mixkd.shared.cache.seal import MANIFEST, seal_name
from mixkd.shared.json_values import dumps, sha256_hex

Edit = Callable[[dict[str, Any]], None]


def sign(
    root: Path,
    contents: Mapping[str, bytes] | None = None,
    *,
    edit: Edit = lambda seal: None,
    edit_header: Edit = lambda header: None,
) -> dict[str, str]:
    """Put `contents` in place of files of the cache, edit both JSON files, and sign everything.

    `cache.json` lists what was put beside the shards; if it is among the `contents`, it stays as it
    was given, and the seal alone lists them.

    Args:
        edit: Changes the seal's JSON in place, last of all.
        edit_header: Changes the header's JSON in place, before it is signed.

    Returns:
        Old name -> new name of each file in `contents`: a shard's name follows its digest.
    """
    seal = json.loads((root / MANIFEST).read_bytes())
    given = dict(contents or {})
    own = given.pop(HEADER, None)
    names = {HEADER: HEADER} if own is not None else {}
    covered = {}
    for name, data in given.items():
        if name.startswith("data/"):
            names[name] = _sign_shard(root, seal, name, data)
        else:
            names[name] = name
            covered[name] = data
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
    if own is None:
        header = json.loads((root / HEADER).read_bytes())
        header["files"] = with_files(header["files"], covered)
        edit_header(header)
        seal["files"] = [file for file in seal["files"] if file["path"] == HEADER]
        seal["files"] += header["files"]
        own = dumps(header)
    (root / HEADER).write_bytes(own)
    seal["files"] = with_files(seal["files"], {**covered, HEADER: own})
    edit(seal)
    write_seal(root, seal)
    return names


def unlist(name: str) -> Edit:
    """Return an edit that takes a file off a list of covered files."""

    def edit(value: dict[str, Any]) -> None:
        value["files"] = [file for file in value["files"] if file["path"] != name]

    return edit


def with_files(files: list[dict[str, Any]], contents: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return a list of covered files with the entries that these contents have."""
    entries = [
        {"path": name, "bytes": len(data), "sha256": sha256_hex(data)}
        for name, data in contents.items()
    ]
    others = [file for file in files if file["path"] not in contents]
    return sorted([*others, *entries], key=lambda file: str(file["path"]))


def write_seal(root: Path, seal: object) -> str:
    """Write a seal's JSON, whatever it is, as a valid seal; returns the pin."""
    return write_manifest(root, dumps(seal))


def write_manifest(root: Path, data: bytes) -> str:
    """Write any bytes as MANIFEST.json and under their name in `seals/`; returns the pin."""
    pin = sha256_hex(data)
    (root / MANIFEST).write_bytes(data)
    (root / seal_name(pin)).write_bytes(data)
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
