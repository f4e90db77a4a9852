"""Opens a synthetic cache and streams one pass of its pairs as a trainer does, comparing every row.

    python -m scripts.bench.synthetic FOLDER 100000000
    python -m scripts.bench.streaming FOLDER [BATCH_SIZE]

Prints JSON: seconds to open, rows per second, rows that came not once or with other logits, and
anonymous memory (what the process holds itself, files apart) before, after opening, and at most.
What the allocator kept of the parsing is given back first: whether glibc does so by itself depends
on chance in the heap, and would move the middle figure by 20 MiB.
"""

from __future__ import annotations

import ctypes
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mixkd.shared.cache.reader import Cache
from mixkd.student_train.joined import JoinedPairs
from mixkd.student_train.order import Order
from scripts.bench.synthetic import expected, table


def anonymous_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def stream(root: Path, batch_size: int) -> dict[str, float]:
    before_mib = anonymous_mib()
    began = time.perf_counter()
    cache = Cache.open(root)
    open_s = time.perf_counter() - began
    ctypes.CDLL(None).malloc_trim(0)
    opened_mib = most_mib = anonymous_mib()
    pairs = JoinedPairs([cache])
    train_rows = cache.identity.n_train
    teacher = table(0, train_rows)
    order = Order(train_rows, pairs.shards, batch_size, mix_ratio=1, seed=0)
    windows, wrong, streamed = 0, 0, 0
    began = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        # In a file, so that the count is not anonymous memory.
        times = np.memmap(file, np.uint8, shape=(len(pairs),))
        while streamed < len(pairs):
            numbers = order.window(*divmod(windows, order.windows_per_epoch)).pairs
            numbers = numbers[: len(pairs) - streamed]
            rows = pairs.rows(numbers)
            wrong += int((rows.known_logits != expected(teacher, rows)).any(axis=1).sum())
            times[numbers] += 1
            streamed, windows = streamed + len(numbers), windows + 1
            most_mib = max(most_mib, anonymous_mib())
        seconds = time.perf_counter() - began
        wrong += int((times != 1).sum())
    return {
        "pairs": len(pairs),
        "shards": len(pairs.shards),
        "open_s": round(open_s, 3),
        "rows_per_s": round(streamed / seconds),
        "wrong": wrong,
        "before_mib": round(before_mib, 1),
        "opened_mib": round(opened_mib, 1),
        "most_mib": round(most_mib, 1),
    }


if __name__ == "__main__":
    print(json.dumps(stream(Path(sys.argv[1]), int((sys.argv[2:] or ["512"])[0]))))
