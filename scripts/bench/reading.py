"""What trust costs: the default reader and `cache-teacher verify` beside reading unchecked.

    python -m scripts.bench.reading [--pairs N]... [--rounds R]

Builds synthetic caches of N pairs (default: 50,000 and 10,000,000) in both formats in a temporary
folder. The ways of reading take turns within each round; a table of the medians is printed, with
each way's time as a multiple of reading the shards' bytes unchecked.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from mixkd.shared.cache import codecs as shards
from mixkd.shared.cache.reader import Cache, check_file
from scripts.bench import synthetic


def read_bytes(root: Path) -> None:
    for record in Cache.open(root).seal.shards:
        (root / record.file).read_bytes()


def decode_unchecked(root: Path) -> None:
    """Read and decode, without digests and without a look at the values."""
    cache = Cache.open(root)
    for record in cache.seal.shards:
        data = (root / record.file).read_bytes()
        layout = cache.identity.layout(record.kind, record.start, record.stop)
        shards.decode(record.shard_format, layout, data, root / record.file)


def read_default(root: Path) -> None:
    """Everything that a student reads, as it reads it."""
    cache = Cache.open(root)
    cache.check_alignment()
    for record in cache.pair_records:
        cache.read(record)
    for file in cache.seal.files:
        check_file(root, file)


def verify_clean(root: Path, deep: bool = False) -> None:
    findings = verify(root, deep)
    if findings:
        raise RuntimeError(findings[0].message)


WAYS: dict[str, Callable[[Path], object]] = {
    "open": Cache.open,
    "read bytes": read_bytes,
    "decode, unchecked": decode_unchecked,
    "default reader": read_default,
    "verify": verify_clean,
    "verify --deep": lambda root: verify_clean(root, deep=True),
}


def measure(root: Path, rounds: int) -> dict[str, float]:
    """Way -> median seconds; the files are in the page cache."""
    read_bytes(root)
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, run in WAYS.items():
            began = time.perf_counter()
            run(root)
            times[way].append(time.perf_counter() - began)
    return {way: statistics.median(found) for way, found in times.items()}


@click.command()
@click.option("--pairs", multiple=True, type=int, default=(50_000, 10_000_000), show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True)
def main(pairs: tuple[int, ...], rounds: int) -> None:
    print("| pairs | format | MB | " + " | ".join(f"{way} s (ratio)" for way in WAYS) + " |")
    print("|---" * (3 + len(WAYS)) + "|")
    for count in pairs:
        for shard_format in shards.FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                root = synthetic.build(Path(folder) / "cache", count, shard_format)
                size_bytes = sum(path.stat().st_size for path in (root / "data").iterdir())
                medians = measure(root, rounds)
            cells = [f"{s:.3f} ({s / medians['read bytes']:.1f})" for s in medians.values()]
            print(f"| {count:,} | {shard_format} | {size_bytes / 1e6:.1f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
