"""Trains a student with an audit hook armed, and says what the hook saw: a line of JSON.

    python -m tests.student_train.guarded CACHE FOLDER

A first run imports everything. The second is watched from opening the cache to the student's
folder; it is stopped after a step and resumed, so that a checkpoint is read too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixkd.shared.command import Terminated
from mixkd.student_train import train as loop
from mixkd.student_train.options import TrainOptions

# Other code, other programs, the network.
FORBIDDEN = (
    "pickle.",
    "marshal.",
    "compile",
    "exec",
    "import",
    "code.",
    "ctypes.dlopen",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.spawn",
    "socket.",
    "urllib.",
    "http.",
    "ssl.",
)


class Guard:
    """Notes forbidden events, and files opened outside some folders, while it is armed."""

    def __init__(self, *inside: Path) -> None:
        self.inside = inside
        self.armed = False
        self.calls: list[str] = []
        self.opened: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event.startswith(FORBIDDEN):
            self.calls.append(f"{event} {arguments!r}"[:300])
        elif event == "open" and not isinstance(arguments[0], int):
            path = Path(os.fsdecode(arguments[0]))
            # shutil.rmtree opens names relative to a folder that it has opened before.
            if path.is_absolute() and not any(map(path.is_relative_to, self.inside)):
                self.opened.append(str(path))


def main(cache: Path, folder: Path) -> dict[str, Any]:
    def options(out: str, resume: bool = False) -> TrainOptions:
        return TrainOptions(
            cache=(cache,),
            out=folder / out,
            resume=resume,
            epochs=2,
            batch_size=8,
            device="cpu",
            log_steps=1,
        )

    def stop(done: int, losses: Mapping[str, float]) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    def stopped_and_resumed(out: str) -> None:
        try:
            loop.train(options(out), stop)
        except Terminated:
            loop.train(options(out, resume=True))

    cache, folder = cache.resolve(), folder.resolve()
    tempfile.tempdir = str(folder)  # a copy of the tokenizer lies there while it is loaded
    stopped_and_resumed("first")
    guard = Guard(cache, folder)
    guard.armed = True
    stopped_and_resumed("second")
    before = len(guard.calls)
    compile("1", "", "eval")  # a guard that sees nothing proves nothing
    guard.armed = False
    return {
        "calls": guard.calls[:before],
        "opened": sorted(set(guard.opened)),
        "sees": guard.calls[before:] != [],
        "teacher": [name for name in sys.modules if name.split(".")[0] == "teacher_cache"],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
