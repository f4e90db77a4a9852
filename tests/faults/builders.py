"""Several builder processes on one cache, begun at one moment.

    python -m tests.faults.builders FOLDER FORMAT PAIRS [PAIRS ...]

Forks one builder per number of pairs from a process that has imported everything. Prints a JSON
list of [exit status, rows computed and committed, rows that another builder committed otherwise].
Two builders that committed the same bytes both count them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from shared.mixup import MixBatch
from teacher_cache.build import Logits, build
from teacher_cache.seal import seal
from tests.goldens import make

SECONDS_PER_BATCH = 0.001


def slow_score(batch: MixBatch) -> Logits:
    """A teacher that takes a while, so that builders meet."""
    time.sleep(SECONDS_PER_BATCH)
    return make.score(batch)


def build_one(root: Path, shard_format: str, pairs: int) -> tuple[int, int]:
    built = build(make.job(root, shard_format, pairs), slow_score, accept=lambda logits: None)
    seal(root)
    return built.rows, built.rows_lost


def build_together(root: Path, shard_format: str, wanted: list[int]) -> list[list[int]]:
    start_read, start_write = os.pipe()
    children = []
    for pairs in wanted:
        said_read, said_write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(start_write)
            os.read(start_read, 1)  # until the parent closes its end
            rows = build_one(root, shard_format, pairs)
            os.write(said_write, json.dumps(rows).encode())
            os._exit(0)
        os.close(said_write)
        children.append((child, said_read))
    os.close(start_write)
    found = []
    for child, said_read in children:
        with os.fdopen(said_read, "rb") as stream:
            said = json.loads(stream.read() or b"[0, 0]")
        found.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), *said])
    return found


if __name__ == "__main__":
    pairs = [int(number) for number in sys.argv[3:]]
    print(json.dumps(build_together(Path(sys.argv[1]), sys.argv[2], pairs)))
