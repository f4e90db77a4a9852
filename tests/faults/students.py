"""Runs of `train-student` with a fault at a chosen operation of the filesystem, in children.

    python -m tests.faults.students CACHE FOLDER ACTION:START:STEP [ACTION:START:STEP ...]

Faults every STEP-th operation from START on, in a run each, and then resumes. A child that trains
must come from a process that has not, since autograd does not survive a fork: this process only
imports, and forks. Prints JSON: how many faults there were, and a list of what was wrong.

Files that torch and safetensors write in other languages are met by `limit`: no file may grow
beyond some size while the finished student is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mixkd.shared.entries import TEMPORARY_MARK
from mixkd.shared.errors import MixkdError
from mixkd.student_train import checkpoints
from mixkd.student_train.device import make_accelerator
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.prepare import prepare
from mixkd.student_train.train import train
from tests.faults import operations
from tests.faults.operations import DONE, FAILED, Operations, in_child

ACTIONS: dict[str, Callable[[str, Any, tuple[Any, ...]], Any]] = {
    "kill": operations.kill,
    "full": operations.NO_SPACE,
    "failing": operations.IO_ERROR,
    "short": operations.shorten,
}
ENDS = {"kill": {-9}, "full": {DONE, FAILED}, "failing": {DONE, FAILED}, "short": {DONE}}
SAYS = {
    "full": "No space left on device",
    "failing": "Input/output error",
    "limit": "File too large",
}
MEASURED = (b"| examples per second", b"| ms for one example")  # lines of the card
LIMITS = (0, 100, 500, 1500, 4000, 20_000, 60_000)  # bytes


def options(cache: Path, out: Path, **changes: Any) -> TrainOptions:
    """Two steps, a checkpoint after each."""
    usual = {"epochs": 1, "batch_size": 20, "device": "cpu", "checkpoint_steps": 1}
    return TrainOptions(cache=(cache,), out=out, **(usual | changes))


class Faults:
    """What a fault may leave, and what a run that was never disturbed ends with."""

    def __init__(self, cache: Path, folder: Path) -> None:
        self.cache, self.out, self.said = cache, folder / "student", folder / "said"
        self.done = 0
        self.resumed: dict[str, list[str]] = {}
        whole = folder / "whole"
        self.points = operations.count(lambda: train(options(cache, whole)), whole)
        self.expected = content(whole)

    def at(self, action: str, number: int) -> list[str]:
        """Fault operation `number` of a run, resume, and return what is wrong with that."""
        shutil.rmtree(self.out, ignore_errors=True)
        faults = Operations(number, ACTIONS[action], self.out, onwards=action == "full")
        code = in_child(self.run, faults)
        if code not in ENDS[action]:
            return [f"{action} at operation {number}: exit {code}"]
        return [f"{action} at operation {number}: {text}" for text in self.wrong(action, code)]

    def limited(self, limit_bytes: int) -> list[str]:
        """Let no file of the finished student grow beyond a limit; resume."""
        shutil.rmtree(self.out, ignore_errors=True)
        in_child(self.run_without_finishing, Operations(-1, operations.kill))

        def run() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
            self.run(resume=True)

        code = in_child(run, Operations(-1, operations.kill)) - 100
        if code != FAILED:
            return [f"files of {limit_bytes} bytes: exit {code}"]
        return [f"files of {limit_bytes} bytes: {text}" for text in self.wrong("limit", code)]

    def wrong(self, action: str, code: int) -> list[str]:
        self.done += 1
        found = list(self.wrong_at_once())
        if code == DONE and not (self.out / "config.json").exists():
            found.append("it ended well without a student")
        if code == FAILED:
            line = self.said.read_text()
            if SAYS[action] not in line or "\n" in line:
                found.append(f"it said {line!r}")
            if [path for path in self.out.rglob("*") if TEMPORARY_MARK in path.name]:
                found.append("a temporary file is left")
        # What is resumed from the same files ends in the same way.
        left = shape(self.out)
        if left not in self.resumed:
            self.resumed[left] = list(self.wrong_in_the_end())
        return found + self.resumed[left]

    def run_without_finishing(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mixkd.student_train.output.finish", lambda *arguments: os._exit(0))
            self.run()

    def run(self, **changes: Any) -> None:
        """Train; a named error is written down too."""
        try:
            train(options(self.cache, self.out, **changes))
        except MixkdError as error:
            with contextlib.suppress(ValueError):
                resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
            self.said.write_text(str(error))
            raise

    def wrong_at_once(self) -> Iterator[str]:
        """There is a whole student or none, and what looks like a checkpoint is one."""
        out = self.out
        if (out / "config.json").exists() and content(out, but="checkpoints") != self.expected:
            yield "a student that is not whole"
        newest = checkpoints.newest(out)
        try:
            if newest is not None:
                checkpoints.read(newest)
                for name in (checkpoints.MODEL, checkpoints.OPTIMIZER, checkpoints.RANDOM):
                    torch.load(newest / name, weights_only=True)
        except (MixkdError, OSError, RuntimeError) as error:
            yield f"a checkpoint that does not load: {error}"

    def wrong_in_the_end(self) -> Iterator[str]:
        """`--resume` gives the very folder of a run that was never disturbed."""
        code = in_child(lambda: self.run(resume=True), Operations(-1, operations.kill)) - 100
        finished = code == FAILED and "found a finished student" in self.said.read_text()
        if code != DONE and not finished:
            yield f"resume: exit {code}"
        elif content(self.out) != self.expected:
            yield f"resume: {sorted(content(self.out))}"


def content(out: Path, but: str = "") -> dict[str, Any]:
    """A folder's files and empty folders, without what a clock measured."""
    found: dict[str, Any] = {}
    for path in out.rglob("*"):
        name = str(path.relative_to(out))
        if but and name.startswith(but):
            continue
        found[name] = path.read_bytes() if path.is_file() else None
    if "metrics.json" in found:
        found["metrics.json"] = json.loads(found["metrics.json"]) | {"seconds": 0, "speed": 0}
    if "README.md" in found:
        lines = re.sub(rb" in \d+ seconds", b"", found["README.md"]).splitlines()
        found["README.md"] = [line for line in lines if not line.startswith(MEASURED)]
    return found


def shape(out: Path) -> str:
    """Names and sizes, without what is random in a name or differs from run to run."""
    sizes = {}
    for path in out.rglob("*"):
        name = str(path.relative_to(out)).split(TEMPORARY_MARK)[0]
        seconds = path.name in ("run.json", "metrics.json")  # which have more digits or fewer
        sizes[name] = -1 if seconds or not path.is_file() else path.stat().st_size
    return json.dumps(sizes, sort_keys=True)


def import_everything(settings: TrainOptions) -> None:
    """Do all of a run but its backward passes, so that no child has to import anything."""
    accelerator = make_accelerator(settings)
    setup = prepare(settings, accelerator, None)
    torch.optim.AdamW(setup.start.student.parameters())
    with tempfile.TemporaryDirectory() as folder:
        setup.start.student.model.save_pretrained(folder)
        setup.start.tokenizer.save_pretrained(folder)
    setup.validator(accelerator, setup.start.student)


def main(cache: Path, folder: Path, wanted: list[str]) -> dict[str, Any]:
    import_everything(options(cache, folder / "none"))
    faults = Faults(cache, folder)
    wrong = []
    for action, start, step in (words.split(":") for words in wanted):
        cases = LIMITS if action == "limit" else range(faults.points)
        for case in cases[int(start) :: int(step)]:
            wrong += faults.limited(case) if action == "limit" else faults.at(action, case)
    return {"faults": faults.done, "points": faults.points, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])))
