"""Several builder processes on one cache, begun at one moment.

    python -m tests.faults.builders FOLDER FORMAT KILLS PAIRS [PAIRS ...]

Forks one builder per number of pairs from a process that has imported everything. KILLS times one
of them is killed and another one started in its place. Prints a JSON list of [exit status, rows
computed and committed, rows that another builder committed otherwise] of those that ended by
themselves. Two builders that committed the same bytes both count them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from mixkd.shared.arrays import Logits
from mixkd.shared.mixup import MixBatch
from tests.caches import build, seal
from tests.goldens import make

SECONDS_PER_BATCH = 0.001
SECONDS_BETWEEN_KILLS = 0.1


def slow_score(batch: MixBatch) -> Logits:
    """A teacher that takes a while, so that builders meet."""
    time.sleep(SECONDS_PER_BATCH)
    return make.score(batch)


def build_one(root: Path, shard_format: str, pairs: int) -> tuple[int, int]:
    built = build(make.job(root, shard_format, pairs), slow_score, accept=lambda logits: None)
    seal(root)
    return built.rows, built.rows_lost


class Builder:
    """A forked builder that begins when the write end of `start` is closed."""

    def __init__(self, root: Path, shard_format: str, pairs: int, start: tuple[int, int]) -> None:
        self.pairs = pairs
        self._said, said_write = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(start[1])
            os.read(start[0], 1)
            rows = build_one(root, shard_format, pairs)
            os.write(said_write, json.dumps(rows).encode())
            os._exit(0)
        os.close(said_write)

    def kill(self) -> None:
        os.kill(self._child, signal.SIGKILL)

    def finish(self) -> list[int]:
        with os.fdopen(self._said, "rb") as stream:
            said = json.loads(stream.read() or b"[0, 0]")
        return [os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1]), *said]


def build_together(root: Path, shard_format: str, kills: int, wanted: list[int]) -> list[list[int]]:
    start = os.pipe()
    builders = [Builder(root, shard_format, pairs, start) for pairs in wanted]
    os.close(start[1])
    gone = []
    choose = random.Random(0)
    for _ in range(kills):
        time.sleep(choose.uniform(0, SECONDS_BETWEEN_KILLS))
        place = choose.randrange(len(builders))
        builders[place].kill()
        gone.append(builders[place].finish())
        now = os.pipe()
        builders[place] = Builder(root, shard_format, builders[place].pairs, now)
        os.close(now[1])
    ended = [found for found in gone if found[0] != -signal.SIGKILL]
    return [*ended, *(builder.finish() for builder in builders)]


if __name__ == "__main__":
    numbers = [int(number) for number in sys.argv[3:]]
    print(json.dumps(build_together(Path(sys.argv[1]), sys.argv[2], numbers[0], numbers[1:])))
