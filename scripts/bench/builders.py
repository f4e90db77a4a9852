"""How much faster several builders extend a cache than one, with equally slow teachers.

    python -m scripts.bench.builders [SECONDS_PER_SHARD]

Builders are processes that begin together; their teacher sleeps, so that the number of cores does
not matter. Prints JSON lines: new shards, builders, whether a launcher numbered them, seconds,
their ratio to one builder's, and the shards that were computed in vain.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

from mixkd.shared.arrays import Logits
from mixkd.shared.mixup import MixBatch
from tests import caches, numpy_caches

SHARDS = (8, 13, 52)
BUILDERS = (1, 2, 4)
SHARD_ROWS = 256
SECONDS_PER_SHARD = 1.0


def extend(
    root: Path, pairs: int, row_s: float, place: tuple[int, int] | None, start: Barrier
) -> None:
    """Be one builder; write what it did beside the cache."""
    if place:
        os.environ["LOCAL_RANK"], os.environ["LOCAL_WORLD_SIZE"] = map(str, place)

    def score(batch: MixBatch) -> Logits:
        time.sleep(row_s * len(batch.lam))
        return numpy_caches.score(batch)

    made = job(root, pairs)
    start.wait()
    built = caches.build(made, score, caches.accept)
    root.with_suffix(f".{os.getpid()}.json").write_text(json.dumps(built.rows_lost))


def job(root: Path, pairs: int) -> caches.Job:
    return numpy_caches.job(root, pairs, shard_rows=SHARD_ROWS, batch_tokens=SHARD_ROWS)


def measure(shards: int, builders: int, numbered: bool, shard_s: float) -> tuple[float, float]:
    """Return seconds until the last builder ends, and the shards computed in vain."""
    folder = Path(tempfile.mkdtemp(prefix="mixkd-bench-"))
    root, start = folder / "cache", multiprocessing.Barrier(builders + 1)
    try:
        caches.build_sealed(job(root, SHARD_ROWS), numpy_caches.score)
        row_s = shard_s / SHARD_ROWS
        pairs = SHARD_ROWS * (1 + shards)
        processes = [
            multiprocessing.Process(
                target=extend,
                args=(root, pairs, row_s, (rank, builders) if numbered else None, start),
            )
            for rank in range(builders)
        ]
        for process in processes:
            process.start()
        start.wait()
        began = time.monotonic()
        for process in processes:
            process.join()
        seconds = time.monotonic() - began
        if any(process.exitcode for process in processes):
            raise SystemExit("a builder failed")
        caches.seal(root)
        lost = sum(json.loads(file.read_text()) for file in folder.glob("cache.*.json"))
    finally:
        shutil.rmtree(folder)
    return seconds, lost / SHARD_ROWS


def main(shard_s: float) -> None:
    for shards in SHARDS:
        alone = 0.0
        for builders in BUILDERS:
            for numbered in (False, True) if builders > 1 else (False,):
                seconds, lost = measure(shards, builders, numbered, shard_s)
                alone = alone or seconds
                row = {"shards": shards, "builders": builders, "numbered": numbered}
                times = {"seconds": round(seconds, 2), "ratio": round(seconds / alone, 3)}
                print(json.dumps({**row, **times, "shards_in_vain": round(lost, 2)}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS_PER_SHARD)
