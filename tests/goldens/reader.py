"""A reader of the cache in 60 lines, written from `docs/format.md` alone: nothing of mixkd's."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa


def checked(root: Path, name: str, size: int, sha256: str) -> bytes:
    data = (root / name).read_bytes()
    if (len(data), hashlib.sha256(data).hexdigest()) != (size, sha256):
        raise ValueError(f"{name}: not what its digest says")
    return data


def shard(root: Path, record: dict) -> dict:
    data = checked(root, record["file"], record["bytes"], record["sha256"])
    if record["file"].endswith(".h5"):
        with h5py.File(root / record["file"], locking=False) as file:
            said = {key: file.attrs[key].decode() for key in file.attrs}
            columns = {name: file[name][:] for name in file}
    else:
        table = pa.ipc.open_file(data).read_all()
        said = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        columns = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    if said != {key: str(record[key]) for key in ("format", "fingerprint", "kind", "start")}:
        raise ValueError(f"{record['file']}: of a different cache or place")
    return columns


def read(root: Path) -> dict:
    """Header, pin, scores, examples by split, originals and pairs of a cache."""
    manifest = (root / "MANIFEST.json").read_bytes()
    pin = hashlib.sha256(manifest).hexdigest()
    if (root / "seals" / f"{pin}.json").read_bytes() != manifest:
        raise ValueError("MANIFEST.json: no such seal")
    seal = json.loads(manifest)
    covered = {
        file["path"]: checked(root, file["path"], file["bytes"], file["sha256"])
        for file in seal["files"]
    }
    header = json.loads(covered["cache.json"])
    text = json.dumps(header["identity"], sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    if hashlib.sha256(text.encode()).hexdigest() != header["fingerprint"]:
        raise ValueError("cache.json: not the fingerprint of its identity")
    rows: dict = {"originals": [], "pairs": []}
    for record in seal["shards"]:
        rows[record["kind"]].append(shard(root, record))
    examples = {
        split["name"]: pa.ipc.open_file(covered[f"examples/{split['name']}.arrow"]).read_all()
        for split in header["identity"]["splits"]
    }
    joined = {
        kind: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for kind, parts in rows.items()
    }
    return {"header": header, "pin": pin, "scores": seal["scores"], "examples": examples} | joined
