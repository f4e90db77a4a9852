"""Mutations of a shard's bytes that know where its headers are and mend HDF5's checksums."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_BYTES = 44  # before its checksum
ENDS = (2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**53, 2**63 - 1, -(2**63))
NUMBERS = (0, 1, -1, 2, 7, 8, 64, 127, 128, 255, 256, 65535, 2**20, *ENDS)
FLOATS = (float("nan"), float("inf"), -float("inf"), -0.0, 1.0, -1.0, 1e-45, 3e38)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where a file's headers are.

    Attributes:
        hot: (start, stop) of what a parser believes, as opposed to the rows themselves.
        checksummed: (start, stop) of HDF5's checksummed blocks, each followed by its checksum.
    """

    hot: tuple[tuple[int, int], ...]
    checksummed: tuple[tuple[int, int], ...] = ()


def anatomy(data: bytes) -> Anatomy:
    """Of a good Arrow or HDF5 file; of any other file the whole of it is hot."""
    if data.startswith(SIGNATURE):
        blocks = hdf5_blocks(data)
        return Anatomy(tuple((start, stop + 4) for start, stop in blocks), blocks)
    if data.startswith(b"ARROW1\0\0"):
        (schema,) = struct.unpack_from("<i", data, 12)
        (batch,) = struct.unpack_from("<i", data, 16 + schema + 4)
        (footer,) = struct.unpack_from("<i", data, len(data) - 10)
        body = 16 + schema + 8 + batch
        return Anatomy(
            ((8, 16 + schema), (16 + schema, body), (len(data) - footer - 18, len(data)))
        )
    return Anatomy(((0, len(data)),))


def hdf5_blocks(data: bytes) -> tuple[tuple[int, int], ...]:
    """The superblock, and each object header with its continuations.

    HDF5 File Format Specification 3.0, "Version 2 Data Object Header Prefix": flags at byte 5; the
    size of the first chunk, in 1, 2, 4 or 8 bytes, follows optional times and phase changes. A
    continuation's length stands behind its address in the message that points to it.
    """
    blocks = [(0, SUPERBLOCK_BYTES)]
    place = data.find(b"OHDR")
    while place >= 0:
        flags = data[place + 5]
        size_at = place + 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1)
        width = 1 << (flags & 3)
        size = int.from_bytes(data[size_at : size_at + width], "little")
        blocks.append((place, size_at + width + size))
        place = data.find(b"OHDR", place + 4)
    place = data.find(b"OCHK")
    while place >= 0:
        pointer = data.find(struct.pack("<Q", place))
        (length,) = struct.unpack_from("<Q", data, pointer + 8)
        blocks.append((place, place + length - 4))
        place = data.find(b"OCHK", place + 4)
    return tuple(blocks)


def mended(data: bytes, known: Anatomy) -> bytes:
    """HDF5's end of file and checksums made right wherever the blocks still are."""
    result = bytearray(data)
    if len(data) >= SUPERBLOCK_BYTES + 4:
        struct.pack_into("<Q", result, 28, len(data))
    for start, stop in known.checksummed:
        if stop + 4 <= len(result):
            struct.pack_into("<I", result, stop, lookup3(bytes(result[start:stop])))
    return bytes(result)


def lookup3(data: bytes) -> int:
    """Bob Jenkins' hashlittle (lookup3.c, 2006) from 0: the checksum of HDF5's metadata."""
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(data)) & mask
    if not data:
        return c
    words = struct.unpack(f"<{-(-len(data) // 12) * 3}I", data + bytes(-len(data) % 12))
    for k in range(0, len(words) - 3, 3):
        a, b, c = a + words[k], b + words[k + 1], c + words[k + 2]
        for turn in (4, 6, 8, 16, 19, 4):
            a = (a - c) & mask ^ ((c & mask) << turn & mask | (c & mask) >> (32 - turn))
            c = (c + b) & mask
            a, b, c = b & mask, c, a  # the next of the three is now called a
    a, b, c = (a + words[-3]) & mask, (b + words[-2]) & mask, (c + words[-1]) & mask
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - (b << turn & mask | b >> (32 - turn))) & mask
        a, b, c = b, c, a
    return int(b)


def place(random: Random, data: bytes, known: Anatomy) -> int:
    """A byte's position, of a header three times in four."""
    hot = [span for span in known.hot if span[0] < len(data)]
    if hot and random.random() < 0.75:
        start, stop = random.choice(hot)
        return random.randrange(start, min(stop, len(data)))
    return random.randrange(len(data))


def flip_bit(random: Random, data: bytearray, at: int) -> None:
    data[at] ^= 1 << random.randrange(8)


def set_byte(random: Random, data: bytearray, at: int) -> None:
    data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))


def set_number(random: Random, data: bytearray, at: int) -> None:
    """A number of 1, 2, 4 or 8 bytes at a place that is a multiple of its size."""
    width = random.choice((1, 2, 4, 4, 4, 8, 8))
    at -= at % width
    number = random.choice((*NUMBERS, len(data), at))
    data[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")


def add_number(random: Random, data: bytearray, at: int) -> None:
    width = random.choice((1, 2, 4, 4, 8))
    at -= at % width
    number = int.from_bytes(data[at : at + width], "little") + random.choice((-8, -1, 1, 4, 8, 64))
    data[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")


def set_length(random: Random, data: bytearray, at: int) -> None:
    """One of the 64-bit offsets, lengths and counts that both formats' headers consist of.

    Those beside it are kept, so that a verifier of the header's frame has nothing to say.
    """
    at -= at % 8
    number = int.from_bytes(data[at : at + 8], "little", signed=True)
    near = (number + 1, number - 1, number + 8, number - 8, number * 2, -number, number << 32)
    number = random.choice((*near, *NUMBERS))
    data[at : at + 8] = (number % 2**64).to_bytes(8, "little")


def set_float(random: Random, data: bytearray, at: int) -> None:
    at -= at % 4
    data[at : at + 4] = struct.pack("<f", random.choice(FLOATS))


def copy_block(random: Random, data: bytearray, at: int) -> None:
    """Bytes of the file over other bytes of it."""
    size = random.choice((1, 4, 8, 16, 64))
    source = random.randrange(len(data))
    block = data[source : source + size]
    data[at : at + len(block)] = block


def swap_blocks(random: Random, data: bytearray, at: int) -> None:
    size = random.choice((4, 8, 16, 64))
    other = random.randrange(len(data))
    first, second = sorted((at - at % 4, other - other % 4))
    size = min(size, second - first, len(data) - second)
    data[first : first + size], data[second : second + size] = (
        data[second : second + size],
        data[first : first + size],
    )


def delete(random: Random, data: bytearray, at: int) -> None:
    del data[at : at + random.choice((1, 2, 4, 8, 8, 64, 256))]


def insert(random: Random, data: bytearray, at: int) -> None:
    size = random.choice((1, 4, 8, 8, 64, 256))
    source = random.randrange(len(data))
    fill = random.choice((bytes(size), b"\xff" * size, bytes(data[source : source + size])))
    data[at:at] = fill


def cut(random: Random, data: bytearray, at: int) -> None:
    del data[at:]


def append(random: Random, data: bytearray, at: int) -> None:
    data += random.choice((bytes(8), b"ARROW1", bytes(data[at : at + 64]), b"\xff" * 4096))


IN_PLACE = (
    flip_bit,
    set_byte,
    set_number,
    set_number,
    set_length,
    set_length,
    add_number,
    set_float,
    copy_block,
)
MOVING = (swap_blocks, delete, insert, cut, append)


def mutated(random: Random, data: bytes, known: Anatomy, others: list[bytes]) -> tuple[bytes, str]:
    """One to four mutations of a file, and their names.

    Args:
        others: Files of the same kind, to splice with.
    """
    result, steps = bytearray(data), []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        if not result:
            break
        at = place(random, bytes(result), known)
        if random.random() < 0.04:
            other = random.choice(others)
            cut_at = min(at, len(other)) if random.random() < 0.7 else random.randrange(len(other))
            result[at:] = other[cut_at:]
            steps.append(f"splice at {at}")
            continue
        change: Callable[[Random, bytearray, int], None]
        change = random.choice(IN_PLACE if random.random() < 0.8 else MOVING)
        change(random, result, at)
        steps.append(f"{change.__name__} at {at}")
    final = bytes(result)
    if known.checksummed and random.random() < 0.9:
        final = mended(final, known)
        steps.append("checksums")
    return final, ", ".join(steps)
