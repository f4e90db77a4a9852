"""Trackers: what `--track` asks for, which accelerate writes to; their failures have a name."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import ProjectConfiguration

from mixkd.shared.errors import DiskError, UsageError
from mixkd.student_train.options import TrainOptions

log = logging.getLogger(__name__)


def check_trackers(names: tuple[str, ...]) -> list[str]:
    """Return the names that accelerate knows trackers by.

    Raises:
        UsageError: If one is not installed.
    """
    known = {
        getattr(kind, "value", kind): tracker for kind, tracker in LOGGER_TYPE_TO_CLASS.items()
    }
    available = [getattr(kind, "value", kind) for kind in get_available_trackers()]
    for name in names:
        if name not in available:
            raise UsageError(
                "--track",
                expected=f"an installed tracker, of {', '.join(sorted(known))}",
                found=f"{name}, which is {'not installed' if name in known else 'unknown'}",
                do=f"pip install {name}, or leave it out" if name in known else "choose another",
            )
    return list(names)


def project(out: Path) -> ProjectConfiguration:
    """Return where trackers that write files write them."""
    return ProjectConfiguration(project_dir=str(out), logging_dir=str(out / "logs"))


def start_trackers(accelerator: Accelerator, options: TrainOptions) -> None:
    """Start the trackers of a claimed folder, with the settings of the run.

    Raises:
        DiskError: If one cannot write.
    """
    if options.track:
        names = (int, float, str, bool)
        config = {k: v for k, v in options.settings().items() if isinstance(v, names)}
        with _named():
            accelerator.init_trackers("mixkd", config=config)


def track(accelerator: Accelerator, values: Mapping[str, float], step: int) -> None:
    """Give the trackers the values of a step.

    Raises:
        DiskError: If one cannot write.
    """
    with _named():
        accelerator.log(dict(values), step=step)


def end_trackers(accelerator: Accelerator) -> None:
    """Let the trackers write what they have, and end what the processes share.

    The student is finished by then: what a tracker cannot write is a warning.
    """
    try:
        accelerator.end_training()
    except OSError as error:
        log.warning("--track: the last values were not written (%s); the student is whole", error)
        accelerator.state.destroy_process_group()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            "--track",
            expected="a tracker that can write",
            found=str(error)[:200],
            do="free space or leave it out, then continue with --resume",
        ) from error
