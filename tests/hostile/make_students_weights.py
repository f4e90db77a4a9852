"""Hostile weights: headers of safetensors that lie, promise or never end."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.sign import sign, unlist
from tests.hostile.student_registry import (
    CONFIG,
    MALFORMED,
    MEMORY_BYTES,
    MODEL,
    PADDING,
    START,
    UNSAFE,
    WEIGHTS,
    Change,
    read_json,
    student,
)


def header_of(data: bytes) -> dict[str, Any]:
    size = struct.unpack("<Q", data[:8])[0]
    found: dict[str, Any] = json.loads(data[8 : 8 + size])
    return found


def with_header(data: bytes, header: bytes) -> bytes:
    """The tensors' bytes under another header."""
    size = struct.unpack("<Q", data[:8])[0]
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def weights(name: str, *errors: str, memory_bytes: int = MEMORY_BYTES) -> Callable[[Change], None]:
    """Register a function from a header to another header, as JSON value or as bytes."""

    def register(change: Change) -> None:
        def spoil(root: Path, bait: Path) -> None:
            data = (root / WEIGHTS).read_bytes()
            header = change(header_of(data))
            if not isinstance(header, bytes):
                header = json.dumps(header).encode()
            sign(root, {WEIGHTS: with_header(data, header)})

        student(f"weights_{name}", *errors, memory_bytes=memory_bytes)(spoil)

    return register


def first_tensor(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(v for k, v in header.items() if k != "__metadata__")
    return found


def set_first(**changes: Any) -> Change:
    def change(header: dict[str, Any]) -> dict[str, Any]:
        first_tensor(header).update(changes)
        return header

    return change


FIRST = {
    "elements_2_60": {"shape": [2**60]},
    "elements_2_60_and_offsets": {"shape": [2**60], "data_offsets": [0, 2**62]},
    "elements_overflow": {"shape": [2**32, 2**32]},
    "elements_negative": {"shape": [-1]},
    "elements_beyond_64_bits": {"shape": [2**70]},
    "elements_float": {"shape": [1.5]},
    "elements_none": {"shape": [2**60, 0]},
    "dimensions_many": {"shape": [1] * 100_000},
    "dtype_unknown": {"dtype": "F7"},
    "dtype_object": {"dtype": "O"},
    "offsets_backwards": {"data_offsets": [8, 0]},
    "offsets_beyond_the_end": {"data_offsets": [0, 2**40]},
    "offsets_three": {"data_offsets": [0, 1, 2]},
    "offsets_overlapping": {"data_offsets": [4, 8]},
}
for key, changes in FIRST.items():
    weights(key, MALFORMED, UNSAFE)(set_first(**changes))
weights("with_an_unknown_key")(set_first(code="os.system"))

RAW_HEADERS = {
    "deep": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep_metadata": b'{"__metadata__":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "nothing": b"{}",
    "no_table": b"[]",
    "no_json": b"\x80\x04cos\nsystem\n.",
    "not_utf_8": b'{"\xff": 1}',
    "none": b"",
}
for key, raw in RAW_HEADERS.items():
    weights(f"header_{key}", MALFORMED, UNSAFE, MODEL)(lambda header, raw=raw: raw)


@weights("header_of_60_megabytes", MALFORMED, UNSAFE)
def header_of_60_megabytes(header: dict[str, Any]) -> bytes:
    return json.dumps(header).encode() + b" " * (60 * 2**20)


@weights("header_of_3_megabytes_of_tensors")
def header_of_3_megabytes_of_tensors(header: dict[str, Any]) -> dict[str, Any]:
    """The most that may be read: names that no model asks for."""
    nothing = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return {**header, **{f"more.{number}": nothing for number in range(40_000)}}


@weights("header_of_5_megabytes_of_tensors", MALFORMED, UNSAFE)
def header_of_5_megabytes_of_tensors(header: dict[str, Any]) -> bytes:
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return b"{" + ",".join(entry % number for number in range(100_000)).encode() + b"}"


@weights("header_metadata_of_8_megabytes", MALFORMED, UNSAFE)
def header_metadata_of_8_megabytes(header: dict[str, Any]) -> dict[str, Any]:
    return {**header, "__metadata__": {"format": "pt", **{str(k): "" for k in range(700_000)}}}


@weights("header_metadata_no_text", MALFORMED)
def header_metadata_no_text(header: dict[str, Any]) -> dict[str, Any]:
    return {**header, "__metadata__": {"format": {"__reduce__": ["os.system", "true"]}}}


@weights("header_metadata_foreign")
def header_metadata_foreign(header: dict[str, Any]) -> dict[str, Any]:
    return {**header, "__metadata__": {"format": "pickle"}}


@weights("name_twice")
def name_twice(header: dict[str, Any]) -> bytes:
    name, entry = list(header.items())[-1]
    return json.dumps(header).encode()[:-1] + f", {json.dumps({name: entry})[1:-1]}}}".encode()


@weights("name_missing", MODEL, MALFORMED)
def name_missing(header: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in header if "query.weight" in name]
    return {("other" if name in names else name): entry for name, entry in header.items()}


def edited(name: str, *errors: str) -> Callable[[Callable[[bytes], bytes]], None]:
    """Register a change of the weight file's bytes."""

    def register(change: Callable[[bytes], bytes]) -> None:
        def spoil(root: Path, bait: Path) -> None:
            sign(root, {WEIGHTS: change((root / WEIGHTS).read_bytes())})

        student(f"weights_{name}", *errors)(spoil)

    return register


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "of_no_bytes": lambda data: b"",
    "of_one_byte": lambda data: data[:1],
    "header_length_only": lambda data: data[:8],
    "header_length_huge": lambda data: struct.pack("<Q", 2**63) + data[8:],
    "header_length_of_a_gigabyte": lambda data: struct.pack("<Q", 2**30) + data[8:],
    "header_length_zero": lambda data: struct.pack("<Q", 0) + data[8:],
    "cut_in_the_header": lambda data: data[:100],
    "cut_in_half": lambda data: data[: len(data) // 2],
    "cut_by_one": lambda data: data[:-1],
    "longer": lambda data: data + b"PK\x03\x04",
    "a_pickle": lambda data: b"cos\nsystem\n(S'true'\ntR.",
    "a_zip": lambda data: b"PK\x03\x04" + b"\0" * 100,
    "not_a_number": lambda data: data[:-4000] + b"\xff" * 4000,
}
for key, bytes_change in BYTES.items():
    expected = (PADDING, MODEL) if key == "not_a_number" else (MALFORMED, UNSAFE)
    edited(key, *expected)(bytes_change)


@student("weights_of_empty_tensors", UNSAFE)
def weights_of_empty_tensors(root: Path, bait: Path) -> None:
    """They are as wide and as many as a config asks for, and take no room."""
    data = (root / WEIGHTS).read_bytes()
    empty = {"dtype": "F32", "shape": [2**50, 0], "data_offsets": [0, 0]}
    header = header_of(data) | {f"more.{number}": empty for number in range(900)}
    config = read_json(root, CONFIG) | {"num_hidden_layers": 900, "max_position_embeddings": 2**50}
    changed = with_header(data, json.dumps(header).encode())
    sign(root, {WEIGHTS: changed, CONFIG: json.dumps(config).encode()})


@student("weights_of_many_tensors", UNSAFE)
def weights_of_many_tensors(root: Path, bait: Path) -> None:
    """So that a config may ask for as many layers."""
    data = (root / WEIGHTS).read_bytes()
    header = header_of(data)
    size = len(data) - 8 - struct.unpack("<Q", data[:8])[0]
    for number in range(20_000):
        start = size + 4 * number
        header[f"more.{number}"] = {
            "dtype": "F32",
            "shape": [1],
            "data_offsets": [start, start + 4],
        }
    more = with_header(data, json.dumps(header).encode()) + b"\0" * 80_000
    config = read_json(root, CONFIG) | {"num_hidden_layers": 20_000}
    sign(root, {WEIGHTS: more, CONFIG: json.dumps(config).encode()})


@student("weights_in_no_seal", MALFORMED)
def weights_in_no_seal(root: Path, bait: Path) -> None:
    """An index that is sealed names weights that are not, under a name like that of a left-over."""
    (root / WEIGHTS).rename(root / START / "w.tmp-1.safetensors")
    names = header_of((root / START / "w.tmp-1.safetensors").read_bytes()).keys() - {"__metadata__"}
    table = {"weight_map": dict.fromkeys(sorted(names), "w.tmp-1.safetensors")}
    index = json.dumps(table).encode()
    sign(root, {f"{START}/model.safetensors.index.json": index}, edit_header=unlist(WEIGHTS))
