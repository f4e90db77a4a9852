"""The folder of a student: claimed before training, filled whole or not at all when it is done.

`config.json` is put in place last. Without it nothing loads the folder, so a student is finished if
and only if it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mixkd.shared import output, publish
from mixkd.shared.errors import OutputError
from mixkd.student_train import checkpoints
from mixkd.student_train.together import together

LAST_FILE = "config.json"


@contextmanager
def claimed(accelerator: Any, out: Path, resume: bool) -> Iterator[Callable[[], None]]:
    """Claim the folder of a run for as long as it lasts; the main process does so for all.

    Yields:
        A check that the folder is still the one that was claimed.

    Raises:
        OutputError: In every process, before any work, naming another run, what the folder holds,
            or why it cannot be written.
    """
    with ExitStack() as held:

        def claim() -> Callable[[], None]:
            if not accelerator.is_main_process:
                return lambda: None
            return held.enter_context(_claimed(out, resume)).check

        yield together(accelerator, claim)


@contextmanager
def _claimed(out: Path, resume: bool) -> Iterator[output.Claim]:
    working = out / checkpoints.FOLDER
    output.check_output(out, lambda name: True)  # that there can be such a folder
    if not working.is_dir():
        _check(out, resume)  # before anything is created in somebody else's folder
    with output.claimed(working, out) as claim:
        if checkpoints.newest(out) is None:
            checkpoints.remove(checkpoints.leftovers(out))
        _check(out, resume)
        yield claim


def _check(out: Path, resume: bool) -> None:
    """Refuse a folder that holds something else.

    A student with a checkpoint beside it is one whose run was stopped while it was put in place.
    """
    begun = checkpoints.newest(out) is not None
    if (out / LAST_FILE).exists() and not (begun and resume):
        raise OutputError(
            out,
            expected="a new folder, or an unfinished run",
            found="a finished student",
            do="choose another --out, or remove it",
        )
    if begun and not resume:
        raise OutputError(
            out,
            expected="a new folder",
            found="an unfinished run",
            do="continue it with --resume, choose another --out, or remove it",
        )
    output.check_output(out, lambda name: begun or name == checkpoints.FOLDER)


def finish(out: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder, put its files in place, `config.json` last, and end the run.

    Raises:
        DiskError: Nothing that loads is in `out` then, and the run can be resumed.
        OutputError: The same, if `out` holds a different file of such a name.
    """
    aside = out / checkpoints.FOLDER / checkpoints.STUDENT
    with output.filled_aside(aside, write, lambda error: checkpoints.unwritten(out, error)):
        files = [path for path in aside.iterdir() if path.is_file()]  # not templates of chats
        for file in sorted(files, key=lambda file: (file.name == LAST_FILE, file.name)):
            publish.place(file, out / file.name)
    checkpoints.remove(checkpoints.leftovers(out))
