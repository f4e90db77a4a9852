"""Cases: a good cache, what was changed in it, and every digest over the change made right again.

A case follows from its random numbers alone. Only its changed files are kept: a shard under the
name that its digest gives it, and always a MANIFEST.json with a seal of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from mixkd.shared.json_values import sha256_hex
from tests import numpy_caches
from tests.hostile import fuzz_bytes, fuzz_json
from tests.hostile.fuzz_json import spelled

GOLDENS = Path(__file__).parents[1] / "goldens"
# What is attacked, and how often: the formats' decoders most.
TARGETS = {"shard": 42, "examples": 18, "seal": 20, "cache.json": 14, "record": 4, "other file": 2}
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
    """

    good: str
    files: dict[str, bytes]
    first: str
    watched: list[str]
    steps: list[str] = field(default_factory=list)
    verified: bool = True


def good_caches(folder: Path) -> dict[str, Good]:
    """Made in `folder`: the goldens, and two of regression without types, in either format."""
    for name in numpy_caches.FORMATS:
        shutil.copytree(GOLDENS / f"format-1-{name}", folder / f"golden-{name}")
        root = folder / f"regression-{name}"
        numpy_caches.sealed(root, 20, name, classes=1, logits_dtype="float16")
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
    name = random.choice(good.names(target))
    if target in ("shard", "examples"):
        same = [other.files[n] for other in others for n in other.names(target)]
        data, steps = fuzz_bytes.mutated(random, good.files[name], good.anatomies[name], same)
    else:
        data, steps = _text(random, good.files[name], [good.files[n] for n in good.names(target)])
    if target == "record":
        return Case(good.name, {name: data}, name, [], [f"{name}: {steps}"])
    files, names = signed(good.seal, {name: data})
    return Case(good.name, files, names[name], [sha256_hex(data)], [f"{name}: {steps}"])


def signed(
    seal: dict[str, Any], contents: Mapping[str, bytes]
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The changed files with records and a seal that fit them, and old name -> new name."""
    files, names = {}, {}
    for entry in seal["shards"] + seal["files"]:
        data = contents.get(old := entry["file"])
        if data is None:
            continue
        sha256 = sha256_hex(data)
        entry["bytes"], entry["sha256"] = len(data), sha256
        if "kind" in entry:
            suffix = old.rpartition(".")[2]
            entry["file"] = f"data/{entry['kind']}-{entry['start']:09d}-{sha256[:12]}.{suffix}"
        names[old] = entry["file"]
        files[entry["file"]] = data
    return {**files, **sealed(seal)}, names


def sealed(seal: Any) -> dict[str, bytes]:
    """MANIFEST.json and its copy under `seals/`; any value, with the digest of the rest of it."""
    digest = "0" * 64
    if isinstance(seal, dict):
        if seal.pop("digest", None) is not None or "format" in seal:
            digest = sha256_hex(spelled(seal))
        seal = {**seal, "digest": digest}
    data = spelled(seal)
    return {"MANIFEST.json": data, f"seals/{digest[:12]}.json": data}


def _seal(random: Random, good: Good, others: list[Good]) -> Case:
    if random.random() < 0.1:
        data, steps = fuzz_bytes.mutated(
            random,
            good.files["MANIFEST.json"],
            fuzz_bytes.Anatomy(()),
            [good.files["cache.json"]],
        )
        return Case(
            good.name, {"MANIFEST.json": data}, "MANIFEST.json", [sha256_hex(data)], [steps]
        )
    seal: Any = good.seal
    steps_taken = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        seal, step = fuzz_json.mutate(random, seal, [other.seal for other in others])
        steps_taken.append(f"MANIFEST.json: {step}")
    files = sealed(seal)
    watched = [sha256_hex(files["MANIFEST.json"])]
    return Case(good.name, files, "MANIFEST.json", watched, steps_taken)


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
            value["fingerprint"] = sha256_hex(spelled(value["identity"]))
        data = spelled(value)
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
    files, _ = signed(seal, contents)
    return Case(good.name, files, "cache.json", [sha256_hex(data)], steps)


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
    """A JSON file changed as bytes or as a value."""
    if random.random() < 0.5:
        return fuzz_bytes.mutated(random, data, fuzz_bytes.Anatomy(()), others)
    value, steps = fuzz_json.mutate(random, json.loads(data), [json.loads(o) for o in others])
    return spelled(value), steps
