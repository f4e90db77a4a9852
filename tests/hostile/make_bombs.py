"""The worst that a typed decoder lets through: JSON of the greatest size that becomes much more.

What a reader needs for each, beyond what it has when it starts, is the case's `memory_bytes`; the
opener allows no more. No case may need more than a gibibyte.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

from mixkd.shared.cache.header import HEADER, HEADER_LIMIT_BYTES, SHARDS_LIMIT
from mixkd.shared.cache.seal import MANIFEST, SCORES_LIMIT_BYTES, SEAL_LIMIT_BYTES
from mixkd.shared.json_values import sha256_hex
from tests.hostile.registry import hostile, register_as
from tests.hostile.sign import sign, write_manifest

UNSAFE, MALFORMED, MISSING = "UnsafeFileError", "MalformedError", "MissingFileError"
MIB = 2**20
WIDE = "\U0001f600"  # makes four bytes of each character beside it
ZERO = "0" * 64
MADE = ("torch", "transformers", "device", "dtype")


def filled(before: str, items: Iterator[str], after: str, limit_bytes: int) -> bytes:
    """As many of the items, separated by commas, as fit between two texts."""
    parts = [before.encode()]
    size = len(parts[0]) + len(after.encode())
    for number, item in enumerate(items):
        data = (f",{item}" if number else item).encode()
        size += len(data)
        if size > limit_bytes:
            break
        parts.append(data)
    return b"".join([*parts, after.encode()])


def again(item: str) -> Iterator[str]:
    while True:
        yield item


def names(length: int = 4) -> Iterator[str]:
    """Different texts of one length."""
    return map("".join, product(string.ascii_letters + string.digits, repeat=length))


def wide_texts() -> Iterator[str]:
    """Of 900 characters, which become 3600 bytes."""
    return (f"{name}{'a' * 895}{WIDE}" for name in names())


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


# MANIFEST.json: 64 MiB.


def seal_with(root: Path, key: str, items: Iterator[str], brackets: str = "[]") -> bytes:
    """The seal, with one of its keys holding as much as fits."""
    seal = json.loads((root / MANIFEST).read_bytes())
    seal.pop(key, None)
    before = f'{compact(seal)[:-1]},"{key}":{brackets[0]}'
    return filled(before, items, f"{brackets[1]}}}", SEAL_LIMIT_BYTES)


def record(start: int, **changes: Any) -> dict[str, Any]:
    made = dict.fromkeys(MADE, "")
    values = {"format": 1, "fingerprint": ZERO, "kind": "pairs", "start": start, "stop": start + 1}
    file = f"data/pairs-{start:09d}-{ZERO[:12]}.arrow"
    more = {"file": file, "bytes": 200, "sha256": ZERO, "made": made}
    return {**values, **more, **changes}


def records(begin: int, **changes: Any) -> Iterator[str]:
    start = begin
    while True:
        yield compact(record(start, **changes))
        start += 1


@hostile("arrow", MISSING, memory_bytes=512 * MIB)
def manifest_of_valid_records(root: Path, bait: Path) -> None:
    """As many shards of one row as can be listed, of which none is there: the seal opens."""
    seal = json.loads((root / MANIFEST).read_bytes())
    begin, fingerprint = seal["rows"]["pairs"], seal["fingerprint"]
    own = [compact(shard) for shard in seal.pop("shards")]
    seal["rows"]["pairs"] = 10**6  # of as many digits as what it will be

    def shards() -> Iterator[str]:
        yield from own
        yield from islice(records(begin, fingerprint=fingerprint), SHARDS_LIMIT - len(own))

    before = f'{compact(seal)[:-1]},"shards":['
    data = filled(before, shards(), "]}", SEAL_LIMIT_BYTES)
    pairs = begin + data.count(b'"sha256":"%s"' % ZERO.encode())
    old = compact(seal["rows"]).encode()
    new = compact({**seal["rows"], "pairs": pairs}).encode()
    write_manifest(root, data.replace(old, new, 1))


SEALS: dict[str, Callable[[Path], bytes]] = {
    "records_of_another_cache": lambda root: seal_with(root, "shards", records(0)),
    "records_of_wide_texts": lambda root: seal_with(
        root,
        "shards",
        (
            compact(record(0, file="T", made=dict.fromkeys(MADE, "T"))).replace('"T"', f'"{text}"')
            for text in wide_texts()
        ),
    ),
    "files": lambda root: seal_with(
        root,
        "files",
        (f'{{"path":"examples/{n}.arrow","bytes":0,"sha256":"{ZERO}"}}' for n in lower_names()),
    ),
    "scores": lambda root: seal_with(root, "scores", (f'"{n}":{{}}' for n in names()), "{}"),
    "scores_before_others": lambda root: filled(
        '{"scores":{',
        (f'"{name}":{{}}' for name in names()),
        f"}},{(root / MANIFEST).read_text()[1:]}",
        SEAL_LIMIT_BYTES,
    ),
    "unknown_lists": lambda root: seal_with(root, "x", again("[]")),
    "unknown_keys": lambda root: seal_with(root, "about", (f'"{n}":0' for n in names()), "{}"),
    "nothing_but_lists": lambda root: filled("[", again("[]"), "]", SEAL_LIMIT_BYTES),
    "nothing_but_unknown_keys": lambda root: filled(
        '{"format":1,"about":{', (f'"{name}":0' for name in names()), "}}", SEAL_LIMIT_BYTES
    ),
    "keys_twice": lambda root: filled("{", again('"format":1'), "}", SEAL_LIMIT_BYTES),
    "scores_twice": lambda root: filled("{", again('"scores":{}'), "}", SEAL_LIMIT_BYTES),
    "shards_before_others": lambda root: filled(
        '{"shards":[',
        islice(records(0), SHARDS_LIMIT),
        f"],{(root / MANIFEST).read_text()[1:]}",
        SEAL_LIMIT_BYTES,
    ),
    "a_wide_text": lambda root: seal_with(root, "fingerprint", iter([wide(60 * MIB)]), '""'),
    "a_wide_key": lambda root: seal_with(root, "rows", iter([f'"{wide(60 * MIB)}":1']), "{}"),
    "a_number": lambda root: seal_with(root, "rows", iter(['"pairs":' + "9" * (60 * MIB)]), "{}"),
}
SEAL_MEMORY = {"records_of_wide_texts": 512, "a_wide_text": 512, "a_wide_key": 768}


def lower_names() -> Iterator[str]:
    return map("".join, product(string.ascii_lowercase, repeat=5))


def wide(size_bytes: int) -> str:
    return "a" * size_bytes + WIDE


for key, make in SEALS.items():
    register_as(
        f"manifest_of_{key}",
        "arrow",
        () if key.endswith("before_others") else (MALFORMED,),
        lambda root, bait, make=make: write_manifest(root, make(root)),
        SEAL_MEMORY.get(key, 384) * MIB,
    )


@hostile("arrow", "AlignmentError")
def manifest_of_scores_within_their_limit(root: Path, bait: Path) -> None:
    """Of no split: what the stored logits give is compared with none of them."""
    scores = filled("{", (f'"{n}":{{}}' for n in names()), "}", SCORES_LIMIT_BYTES)
    seal = json.loads((root / MANIFEST).read_bytes())
    del seal["scores"]
    write_manifest(root, compact(seal)[:-1].encode() + b',"scores":' + scores + b"}")


# cache.json: 16 MiB.


def put_header(root: Path, path: str, items: Iterator[str], brackets: str = "[]") -> None:
    """The header, with one of its values holding as much as fits, signed."""
    header = json.loads((root / HEADER).read_bytes())
    *above, last = path.split(".")
    place = header
    for step in above:
        place = place[step]
    place[last] = "HERE"
    before, after = compact(header).split('"HERE"')
    limit = HEADER_LIMIT_BYTES
    data = filled(before + brackets[0], items, brackets[1] + after, limit)
    sign(root, {HEADER: data})


HEADERS: dict[str, tuple[str, Callable[[], Iterator[str]], str]] = {
    "label_names": ("identity.label_names", lambda: (f'"{n}"' for n in names()), "[]"),
    "wide_label_names": ("identity.label_names", lambda: (f'"{t}"' for t in wide_texts()), "[]"),
    "columns": ("identity.teacher.columns", lambda: map(str, range(1000, 10**8)), "[]"),
    "small_columns": ("identity.teacher.columns", lambda: again("0"), "[]"),
    "splits": (
        "identity.splits",
        lambda: (
            f'{{"name":"{n}","rows":1,"texts_sha256":"{ZERO}","ids_sha256":"{ZERO}"}}'
            for n in lower_names()
        ),
        "[]",
    ),
    "files": (
        "files",
        lambda: (
            f'{{"path":"examples/{n}.arrow","bytes":0,"sha256":"{ZERO}"}}' for n in lower_names()
        ),
        "[]",
    ),
    "lists": ("about", lambda: again("[]"), "[]"),
}
for key, (path, items, brackets) in HEADERS.items():
    register_as(
        f"cache_file_of_{key}",
        "arrow",
        (MALFORMED,),
        lambda root, bait, p=path, i=items, b=brackets: put_header(root, p, i(), b),
        512 * MIB,
    )


@hostile("arrow", MALFORMED, memory_bytes=768 * MIB)
def about_of_many_keys(root: Path, bait: Path) -> None:
    """Free text for people decides nothing, but it is bounded."""
    put_header(root, "about", (f'"{name}":1.5' for name in names()), "{}")


@hostile("arrow", MALFORMED, memory_bytes=512 * MIB)
def about_of_wide_texts(root: Path, bait: Path) -> None:
    put_header(
        root, "about", (f'"{n}":"{t}"' for n, t in zip(names(), wide_texts(), strict=False)), "{}"
    )


@hostile("arrow", MALFORMED, memory_bytes=512 * MIB)
def metric_of_a_wide_text(root: Path, bait: Path) -> None:
    put_header(root, "metric", iter([wide(15 * MIB)]), '""')


# Odd spelling, which is no matter: what is believed is the digest of the bytes.


def respelled(root: Path, header: bytes, seal: Callable[[dict[str, Any]], bytes]) -> None:
    value = json.loads((root / MANIFEST).read_bytes())
    (root / HEADER).write_bytes(header)
    entry = {"path": HEADER, "bytes": len(header), "sha256": sha256_hex(header)}
    value["files"] = [entry if file["path"] == HEADER else file for file in value["files"]]
    write_manifest(root, seal(value))


SPELLINGS: dict[str, Callable[[Any], bytes]] = {
    "compact": lambda value: compact(value).encode(),
    "spaced": lambda value: json.dumps(value, indent=7).encode() + b"\n \t\r\n",
    "escaped": lambda value: json.dumps(value).replace("format", "\\u0066ormat").encode(),
    "twice": lambda value: ('{"format": 1, ' + json.dumps(value)[1:]).encode(),
}
for key, spell in SPELLINGS.items():
    register_as(
        f"spelling_{key}",
        "arrow",
        (),
        lambda root, bait, spell=spell: respelled(
            root, spell(json.loads((root / HEADER).read_bytes())), spell
        ),
    )
