"""Which rows a run reads, in cold children of a fresh process: stopped, resumed, at any world size.

    python -m tests.student_train.sequence CACHE < lines of JSON

A line asks for {"load": FILE or null, "save": FILE, "world", "batch_size", "steps", "late"}; the
answer is a line of [[originals], [pairs]], one for each global batch. A child is forked before
anything of the order was computed, so that it has nothing but the state's file and the cache.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixkd.shared.cache.reader import Cache
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.student_train import order as order_module
from mixkd.student_train.batches import Batch, Source, batches
from mixkd.student_train.joined import JoinedPairs
from mixkd.student_train.order import Order
from mixkd.student_train.state import State
from tests.faults.reading import read_all

CHECKOUT = Path(__file__).resolve().parents[2]
SETTINGS = "b" * 64
SEED, MIX_RATIO, EPOCHS = 3, 1.5, 2
Step = list[list[int]]


class Reader:
    """One run over a cache: reads global batches from where it stands, as the loop does.

    Args:
        root: The cache. No two of its rows may have the same ids and weight: a batch names no rows.
    """

    def __init__(self, root: Path, batch_size: int, epochs: int = EPOCHS) -> None:
        cache = Cache.open(root)
        pairs = JoinedPairs([cache])
        self.source = Source(cache.examples(), cache.logits("train"), pairs, CLASSIFICATION, 0)
        self.order = Order(len(cache.examples()), pairs.shards, batch_size, MIX_RATIO, SEED)
        self.epochs = epochs
        self.seal = cache.pin
        self.state = State(self.seal, SETTINGS, epoch=0, step=0)
        self._numbers = [_numbers_of_originals(cache), _numbers_of_pairs(cache)]

    def load(self, file: Path) -> None:
        self.state = State.from_bytes(file.read_bytes(), file)
        steps = self.epochs * self.order.steps_per_epoch
        self.state.check(SETTINGS, steps, self.order.steps_per_epoch, file)

    def save(self, file: Path, late: bool = False) -> None:
        """`late`: after an epoch's last step and its validation, not right after the step."""
        state = self.state
        if late and state.step == self.order.steps_per_epoch:
            state = State(state.seal, state.settings, state.epoch + 1, 0)
        file.write_bytes(state.to_bytes())

    def read(self, steps: int, world: int) -> list[Step]:
        """Up to `steps` global batches, put together from those of `world` processes."""
        return list(itertools.islice(self._steps(world), steps))

    def _steps(self, world: int) -> Iterator[Step]:
        begun = self.state
        for epoch in range(begun.epoch, self.epochs):
            step = begun.step if epoch == begun.epoch else 0
            ranks = [
                batches(self.source, self.order, epoch, step, rank, world) for rank in range(world)
            ]
            for parts in zip(*ranks, strict=True):
                step += 1
                self.state = State(self.seal, SETTINGS, epoch, step)
                yield self._together(parts)

    def _together(self, parts: tuple[Batch, ...]) -> Step:
        """Row r of the global batch is row r // world of process r % world."""
        whole: Step = [[], []]
        for number, part in enumerate(("originals", "mixes")):
            count = parts[0].counts[part]
            lists = [self._rows(batch)[number] for batch in parts]
            if {batch.counts[part] for batch in parts} != {count} or count != sum(map(len, lists)):
                raise ValueError(f"processes disagree about {count} {part}")
            whole[number] = [lists[row % len(parts)][row // len(parts)] for row in range(count)]
        return whole

    def _rows(self, batch: Batch) -> Step:
        keys, cut = _keys(batch), batch.rows["originals"]
        originals, pairs = self._numbers
        counted = keys[: cut + batch.rows["mixes"]]
        return [[originals[key] for key in counted[:cut]], [pairs[key] for key in counted[cut:]]]


def _keys(batch: Batch) -> list[tuple[bytes, bytes, float]]:
    inputs = batch.inputs
    return [
        (left[left_mask == 1].tobytes(), right[right_mask == 1].tobytes(), float(lam))
        for left, left_mask, right, right_mask, lam in zip(
            inputs.left_ids,
            inputs.left_mask,
            inputs.right_ids,
            inputs.right_mask,
            inputs.lam,
            strict=True,
        )
    ]


def _numbers_of_originals(cache: Cache) -> dict[tuple[bytes, bytes, float], int]:
    ids = [
        cache.examples().input_ids[row].astype("int64").tobytes()
        for row in range(len(cache.examples()))
    ]
    return _unique([(row, row, 1.0) for row in ids])


def _numbers_of_pairs(cache: Cache) -> dict[tuple[bytes, bytes, float], int]:
    ids = [
        cache.examples().input_ids[row].astype("int64").tobytes()
        for row in range(len(cache.examples()))
    ]
    rows = []
    for record in cache.pair_records:
        columns = cache.read(record)
        sides = zip(columns["left"], columns["right"], columns["lam"], strict=True)
        rows += [(ids[left], ids[right], float(lam)) for left, right, lam in sides]
    return _unique(rows)


def _unique(keys: list[tuple[bytes, bytes, float]]) -> dict[tuple[bytes, bytes, float], int]:
    found = {key: row for row, key in enumerate(keys)}
    if len(found) != len(keys):
        raise ValueError("two rows of this cache cannot be told apart")
    return found


def forget() -> None:
    """What a fresh process does not know."""
    order_module._originals.cache_clear()
    order_module._shards_of_pass.cache_clear()


def is_cold() -> bool:
    caches = (order_module._originals, order_module._shards_of_pass)
    return not any(cache.cache_info().currsize for cache in caches)


def answer(root: Path, asked: dict[str, Any]) -> list[Step]:
    if not is_cold():
        raise ValueError("this process has computed an order before")
    reader = Reader(root, asked["batch_size"])
    if asked["load"]:
        reader.load(Path(asked["load"]))
    steps = reader.read(asked["steps"], asked["world"])
    reader.save(Path(asked["save"]), asked["late"])
    return steps


def answer_in_child(root: Path, asked: dict[str, Any]) -> str:
    """The answer as a line of JSON, or the text of what went wrong."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        with os.fdopen(write_end, "w") as stream:
            try:
                stream.write(json.dumps(answer(root, asked)))
            except BaseException as error:
                stream.write(json.dumps(f"{type(error).__name__}: {error}"))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said or json.dumps("the child died")


class Fresh:
    """Asks a process that was started for this, and answers from its cold children."""

    def __init__(self, root: Path, process: subprocess.Popen[str], folder: Path) -> None:
        self.root, self.process, self.folder = root, process, folder

    def run(
        self,
        batch_size: int,
        world: int,
        steps: int = 10**6,
        load: Path | None = None,
        save: str = "last",
        late: bool = False,
    ) -> tuple[list[Step], Path]:
        """The global batches read, and the file of the state that was then saved."""
        file = self.folder / save
        asked = {"batch_size": batch_size, "world": world, "steps": steps, "late": late}
        asked |= {"load": load and str(load), "save": str(file)}
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        assert isinstance(found, list), found
        return found, file


@contextmanager
def fresh(root: Path, folder: Path) -> Iterator[Fresh]:
    """Start such a process for a cache; states are saved in `folder`."""
    command = [sys.executable, "-m", "tests.student_train.sequence", str(root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    ) as process:
        yield Fresh(root, process, folder)
        assert process.stdin is not None
        process.stdin.close()


if __name__ == "__main__":
    read_all(Path(sys.argv[1]))  # imports what is imported late
    for line in sys.stdin:
        print(answer_in_child(Path(sys.argv[1]), json.loads(line)), flush=True)
