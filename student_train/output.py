"""The folder of a student: claimed before training, filled whole or not at all when it is done.

`config.json` is put in place last. Without it nothing loads the folder, so a student is finished if
and only if it is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from mixkd.shared import publish
from mixkd.shared.errors import OutputError
from mixkd.shared.output import check_output, filled_aside
from mixkd.student_train import checkpoints

LAST_FILE = "config.json"
RUN_FOLDERS = (checkpoints.FOLDER, "logs")


def claim(out: Path, resume: bool) -> None:
    """Refuse, before any work, a folder that holds something else, or cannot be written.

    Raises:
        OutputError: Naming what is there and what to do.
    """
    if (out / LAST_FILE).exists():
        raise OutputError(
            out,
            expected="a new folder, or an unfinished run",
            found="a finished student",
            do="choose another --out, or remove it",
        )
    begun = checkpoints.newest(out) is not None
    if begun and not resume:
        raise OutputError(
            out,
            expected="a new folder",
            found="an unfinished run",
            do="continue it with --resume, choose another --out, or remove it",
        )
    check_output(out, lambda name: begun or name in RUN_FOLDERS)


def finish(out: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder, put its files in place, `config.json` last, and end the run.

    Raises:
        DiskError: Nothing that loads is in `out` then, and the run can be resumed.
    """
    aside = out / checkpoints.FOLDER / ".student"
    with filled_aside(aside, write, lambda error: checkpoints.unwritten(out, error)):
        for file in sorted(aside.iterdir(), key=lambda file: (file.name == LAST_FILE, file.name)):
            publish.move(file, out / file.name)
    shutil.rmtree(out / checkpoints.FOLDER, ignore_errors=True)
