"""The folder that a command fills: checked before any work, filled aside, published whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mixkd.shared import publish
from mixkd.shared.errors import MixkdError, OutputError

NAMES_SHOWN = 5


def check_output(
    out: Path,
    own: Callable[[str], bool] = lambda name: False,
    *,
    expected: str = "a new or empty folder",
) -> set[str]:
    """Refuse a folder that holds something else, or cannot be written.

    Args:
        own: Name -> whether this command may find it there.
        expected: For the message.

    Returns:
        The names in the folder.

    Raises:
        OutputError: Naming what is there and what to do.
    """
    publish.check_writable(out)
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    foreign = sorted(name for name in names if not own(name))
    if foreign:
        raise OutputError(
            out,
            expected=expected,
            found=", ".join(foreign[:NAMES_SHOWN]),
            do="choose another --out, or remove them",
        )
    return names


@contextmanager
def filled_aside(
    aside: Path, write: Callable[[Path], None], failure: Callable[[OSError], MixkdError]
) -> Iterator[None]:
    """Let `write` fill the folder `aside` durably; in the block the caller puts it in place.

    Whatever fails, nothing stays aside.

    Args:
        failure: An error of the disk -> the named error to raise.
    """
    shutil.rmtree(aside, ignore_errors=True)
    publish.folder(aside)
    try:
        write(aside)
        publish.settle(aside)
        yield
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise failure(error) from error
        raise
