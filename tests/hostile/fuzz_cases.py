"""Cases: a good cache, what was changed in it, and every digest over the change made right again.

A case follows from its random numbers alone. Only its changed files are kept: a shard under the
name that its digest gives it, and always a MANIFEST.json with a seal of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from mixkd.shared.cache.header import HEADER, Identity
from mixkd.shared.cache.seal import MANIFEST, seal_name
from mixkd.shared.json_values import sha256_hex
from tests import numpy_caches
from tests.goldens import make as golden
from tests.hostile import fuzz_bytes, fuzz_json, fuzz_links
from tests.hostile.fuzz_json import spelled
from tests.hostile.sign import with_files

# What is attacked, and how often: the formats' decoders most.
TARGETS = {
    "shard": 42,
    "examples": 18,
    "seal": 20,
    "cache.json": 14,
    "record": 4,
    "other file": 2,
    "links": 4,
}
DAMAGED = 0.5  # of the caches with links: one more file is not what it was, so that a repair writes
CASES_BETWEEN_VERIFIED = 8


@dataclass(frozen=True, slots=True)
class Good:
    """A good cache in memory.

    Attributes:
        files: Name -> content of every file.
        anatomies: Of its shards and examples, by name.
    """

    name: str
    files: dict[str, bytes]
    anatomies: dict[str, fuzz_bytes.Anatomy]

    @property
    def seal(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.files["MANIFEST.json"])
        return found

    def names(self, target: str) -> list[str]:
        folders = {
            "shard": ("data/",),
            "examples": ("examples/",),
            "record": ("commits/",),
            "other file": ("tokenizer/", "student_init/"),
        }
        return sorted(name for name in self.files if name.startswith(folders[target]))


@dataclass(frozen=True, slots=True)
class Case:
    """A changed cache.

    Attributes:
        good: Name of the cache that was changed.
        files: Name -> content of what differs.
        first: What to read first: a file's name.
        watched: sha256 of each content that was changed and is to reach a parser.
        steps: What was done, for whoever reads of a find.
        verified: Whether `verify` and repair look at it too, which takes several times as long.
        links: Places that are links, and where they lead; see `fuzz_links.py`.
    """

    good: str
    files: dict[str, bytes]
    first: str
    watched: list[str]
    steps: list[str] = field(default_factory=list)
    verified: bool = True
    links: dict[str, str] = field(default_factory=dict)


def good_caches(folder: Path) -> dict[str, Good]:
    """Made in `folder`: of three classes, of regression without types, and of several labels per
    row, in either format."""
    for name in numpy_caches.FORMATS:
        golden.make(folder / f"golden-{name}", name)
        root = folder / f"regression-{name}"
        numpy_caches.sealed(root, 20, name, classes=1, logits_dtype="float16")
        root = folder / f"several-{name}"
        numpy_caches.sealed(root, 20, name, classes=3, several=True, labelled=25)
    return {root.name: good_cache(root) for root in sorted(folder.iterdir())}


def good_cache(root: Path) -> Good:
    files = numpy_caches.contents(root)
    tables = [name for name in files if name.startswith(("data/", "examples/"))]
    return Good(root.name, files, {name: fuzz_bytes.anatomy(files[name]) for name in tables})


def case_of(goods: Mapping[str, Good], seed: int, number: int) -> Case:
    """The same case for the same two numbers."""
    case = draw(Random(f"{seed} {number}"), goods)
    return replace(case, verified=number % CASES_BETWEEN_VERIFIED == 0)


def draw(random: Random, goods: Mapping[str, Good]) -> Case:
    good = goods[random.choice(sorted(goods))]
    target = random.choices(list(TARGETS), list(TARGETS.values()))[0]
    others = [goods[name] for name in sorted(goods)]
    if target == "seal":
        return _seal(random, good, others)
    if target == "cache.json":
        return _cache_file(random, good, others)
    if target == "links":
        return linked(random, good)
    name = random.choice(good.names(target))
    if target in ("shard", "examples"):
        same = [other.files[n] for other in others for n in other.names(target)]
        data, steps = fuzz_bytes.mutated(random, good.files[name], good.anatomies[name], same)
    else:
        data, steps = _text(random, good.files[name], [good.files[n] for n in good.names(target)])
    if target == "record":
        return Case(good.name, {name: data}, name, [], [f"{name}: {steps}"])
    files, names = signed(good.seal, with_header(good, {name: data}))
    return Case(good.name, files, names[name], [sha256_hex(data)], [f"{name}: {steps}"])


def signed(
    seal: dict[str, Any], contents: Mapping[str, bytes]
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The changed files with records and a seal that fit them, and old name -> new name."""
    files, names = dict(contents), {name: name for name in contents}
    for record in seal["shards"]:
        old = record["file"]
        data = files.pop(old, None)
        if data is None:
            continue
        sha256, suffix = sha256_hex(data), old.rpartition(".")[2]
        record["bytes"], record["sha256"] = len(data), sha256
        record["file"] = f"data/{record['kind']}-{record['start']:09d}-{sha256[:12]}.{suffix}"
        names[old] = record["file"]
        files[record["file"]] = data
    covered = {name: data for name, data in files.items() if not name.startswith("data/")}
    seal["files"] = with_files(seal["files"], covered)
    return {**files, **sealed(spelled(seal))}, names


def with_header(good: Good, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The contents, and a cache.json that lists those which are covered beside the shards."""
    covered = {name: data for name, data in contents.items() if not name.startswith("data/")}
    if not covered:
        return dict(contents)
    header = json.loads(good.files[HEADER])
    header["files"] = with_files(header["files"], covered)
    return {**contents, HEADER: spelled(header)}


def sealed(data: bytes) -> dict[str, bytes]:
    """MANIFEST.json of any bytes, and its copy under the name in `seals/` that makes it valid."""
    return {MANIFEST: data, seal_name(sha256_hex(data)): data}


def _seal(random: Random, good: Good, others: list[Good]) -> Case:
    if random.random() < 0.1:
        data, steps = fuzz_bytes.mutated(
            random,
            good.files["MANIFEST.json"],
            fuzz_bytes.Anatomy(()),
            [good.files["cache.json"]],
        )
        return Case(good.name, sealed(data), MANIFEST, [sha256_hex(data)], [steps])
    seal: Any = good.seal
    steps_taken = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        seal, step = fuzz_json.mutate(random, seal, [other.seal for other in others])
        steps_taken.append(f"MANIFEST.json: {step}")
    files = sealed(spelled(seal, random.random() < 0.5))
    return Case(good.name, files, MANIFEST, [sha256_hex(files[MANIFEST])], steps_taken)


def linked(random: Random, good: Good) -> Case:
    """Links in a few places, and half of the time a damaged file."""
    links = fuzz_links.draw(random, good.files)
    steps = [f"{place} leads to {kind}" for place, kind in links.items()]
    damaged = {}
    if random.random() < DAMAGED:
        name = random.choice(sorted(good.files))
        data = good.files[name]
        damaged[name] = random.choice((b"", data[: len(data) // 2], data[:-2] + b"xx"))
        steps.append(f"{len(damaged[name])} bytes of {name}")
    return Case(good.name, damaged, f"links/{next(iter(links))}", [], steps, links=links)


def _cache_file(random: Random, good: Good, others: list[Good]) -> Case:
    """Changed, with its fingerprint in everything that repeats it, shards included half the time.

    A fingerprint has the same length always, so a shard of another identity differs by it alone.
    """
    value = json.loads(good.files["cache.json"])
    seal, steps = good.seal, []
    if random.random() < 0.1:
        data, step = _text(random, good.files["cache.json"], [good.files["MANIFEST.json"]])
        steps.append(f"cache.json: {step}")
    else:
        parts = [json.loads(other.files["cache.json"]) for other in others]
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            place = "identity" if random.random() < 0.7 and _has_identity(value) else None
            inner = value[place] if place else value
            inner, step = fuzz_json.mutate(random, inner, [p[place] if place else p for p in parts])
            value = {**value, place: inner} if place else inner
            steps.append(f"cache.json: {step} of {place or 'all'}")
        if _has_identity(value):
            value["fingerprint"] = fingerprint(value["identity"])
        data = spelled(value, random.random() < 0.5)
    contents = {"cache.json": data}
    if _has_identity(value) and isinstance(value.get("fingerprint"), str):
        old, new = seal["fingerprint"], value["fingerprint"]
        for entry in (seal, *seal["shards"]):
            entry["fingerprint"] = new
        if len(new) == 64 and new.isascii() and random.random() < 0.5:
            contents |= _under(good, old.encode(), new.encode())
            steps.append("its fingerprint in all shards")
        if random.random() < 0.5:
            seal["rows"]["originals"] = _originals(value["identity"], seal["rows"]["originals"])
    if random.random() < 0.5:
        seal["files"] = _listed(value, seal["files"])
    files, _ = signed(seal, contents)
    return Case(good.name, files, "cache.json", [sha256_hex(data)], steps)


def fingerprint(identity: Any) -> str:
    """The right one of an identity; of what is none, something."""
    try:
        return msgspec.convert(identity, Identity).fingerprint
    except (ValueError, RecursionError):
        return sha256_hex(spelled(identity))


def _listed(header: Any, otherwise: list[Any]) -> list[Any]:
    """The files that a changed header lists, where they can be put in order."""
    files = header.get("files") if isinstance(header, dict) else None
    named = isinstance(files, list) and all(
        isinstance(file, dict) and isinstance(file.get("path"), str) for file in files
    )
    return list(files) if named and isinstance(files, list) else otherwise


def _has_identity(value: Any) -> bool:
    return isinstance(value, dict) and "identity" in value


def _under(good: Good, old: bytes, new: bytes) -> dict[str, bytes]:
    """Every shard with another fingerprint in it."""
    return {
        name: fuzz_bytes.mended(good.files[name].replace(old, new), good.anatomies[name])
        if good.anatomies[name].checksummed
        else good.files[name].replace(old, new)
        for name in good.names("shard")
    }


def _originals(identity: Any, otherwise: int) -> Any:
    """As many rows as the identity's splits have together, if they are a list of such."""
    try:
        return sum(split["rows"] for split in identity["splits"])
    except (TypeError, KeyError):
        return otherwise


def _text(random: Random, data: bytes, others: list[bytes]) -> tuple[bytes, str]:
    """A JSON file changed as bytes or as a value, canonical or not."""
    if random.random() < 0.5:
        return fuzz_bytes.mutated(random, data, fuzz_bytes.Anatomy(()), others)
    value, steps = fuzz_json.mutate(random, json.loads(data), [json.loads(o) for o in others])
    return spelled(value, random.random() < 0.5), steps
