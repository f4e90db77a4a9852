"""Runs that meet in one folder, as processes: one trains, and waits after its first step.

    python -m tests.faults.meeting CACHE FOLDER

Meanwhile another run begins there, the first is killed, a file appears, or the folder is moved.
Prints a JSON list of what was wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mixkd.shared.errors import MixkdError
from mixkd.student_train.train import train
from tests.faults import operations
from tests.faults.operations import DONE, FAILED, Operations, in_child
from tests.faults.students import content, import_everything, options


class Meeting:
    def __init__(self, cache: Path, folder: Path) -> None:
        self.cache, self.out, self.said = cache, folder / "parent" / "student", folder / "said"
        whole = folder / "whole"
        in_child(lambda: train(options(cache, whole)), Operations(-1, operations.kill))
        self.expected = content(whole)

    def run(self, resume: bool = False, observe: Callable[..., None] | None = None) -> None:
        """Train; a named error is written down."""
        settings = options(self.cache, self.out, resume=resume, log_steps=1)
        try:
            train(settings, observe)
        except MixkdError as error:
            self.said.write_text(str(error))
            raise

    def ended(self, resume: bool = False) -> str:
        """Run now, and say how it ended."""
        self.said.write_text("")
        code = in_child(lambda: self.run(resume), Operations(-1, operations.kill)) - 100
        return "done" if code == DONE else self.said.read_text() if code == FAILED else str(code)

    @contextmanager
    def waiting(self, end: list[str]) -> Iterator[int]:
        """A run that waits after its first step until the block ends; `end` gets how it ended."""
        shutil.rmtree(self.out.parent, ignore_errors=True)
        self.said.write_text("")
        began, go_on = os.pipe(), os.pipe()

        def wait(step: int, losses: Mapping[str, float]) -> None:
            if step == 1:
                os.write(began[1], b"1")
                os.read(go_on[0], 1)

        child = os.fork()
        if child == 0:
            code = 70
            try:
                self.run(observe=wait)
                code = DONE
            except MixkdError:
                code = FAILED
            finally:
                os._exit(code)
        os.read(began[0], 1)
        yield child
        os.write(go_on[1], b"1")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        end.append(
            self.said.read_text() if code == FAILED else "done" if code == DONE else f"{code}"
        )

    def another_run(self) -> Iterator[bool]:
        end: list[str] = []
        with self.waiting(end):
            for resume in (False, True):
                said = self.ended(resume)
                yield said.startswith(
                    f"{self.out}: expected a folder that no other run writes, found"
                )
        yield end == ["done"] and content(self.out) == self.expected
        yield "found a finished student" in self.ended()

    def a_killed_run(self) -> Iterator[bool]:
        end: list[str] = []
        with self.waiting(end) as child:
            os.kill(child, signal.SIGKILL)
        yield end == ["-9"] and (self.out / "checkpoints" / "lock").exists()
        yield self.ended() == "done" and content(self.out) == self.expected

    def files_that_appear(self) -> Iterator[bool]:
        for name in ("README.md", "config.json"):
            end: list[str] = []
            with self.waiting(end):
                (self.out / name).write_text("mine")
            yield end[0].startswith(f"{self.out / name}: expected no such file")
            yield (self.out / name).read_text() == "mine"
            (self.out / name).unlink()
            yield self.ended(resume=True) == "done" and content(self.out) == self.expected

    def a_folder_that_is_gone(self) -> Iterator[bool]:
        for gone in (self.out, self.out.parent):
            end: list[str] = []
            with self.waiting(end):
                shutil.rmtree(gone)
            yield "found that it was moved or removed" in end[0] and not gone.exists()

    def a_folder_that_another_run_took_over(self) -> Iterator[bool]:
        end: list[str] = []
        with self.waiting(end):
            aside = self.out.with_name("aside")
            self.out.rename(aside)
            yield self.ended() == "done"
        yield "found that it was moved or removed" in end[0]
        yield content(self.out) == self.expected


def main(cache: Path, folder: Path) -> list[str]:
    import_everything(options(cache, folder / "none"))
    meeting = Meeting(cache, folder)
    return [
        f"{check.__name__}: number {number}"
        for check in (
            meeting.another_run,
            meeting.a_killed_run,
            meeting.files_that_appear,
            meeting.a_folder_that_is_gone,
            meeting.a_folder_that_another_run_took_over,
        )
        for number, right in enumerate(check())
        if not right
    ]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
