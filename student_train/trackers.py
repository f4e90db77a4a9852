"""Trackers of a student's run, which the accelerator writes to."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from accelerate import Accelerator

from mixkd.shared.trackers import Tracking, named
from mixkd.student_train.options import TrainOptions

log = logging.getLogger(__name__)


def start_trackers(accelerator: Accelerator, options: TrainOptions) -> None:
    """Start the trackers of a claimed folder, with the settings of the run.

    Raises:
        DiskError: If one cannot write.
    """
    if options.track and accelerator.is_main_process:
        accelerator.trackers = Tracking.of(options).start(options.settings())


def track(accelerator: Accelerator, values: Mapping[str, float], step: int) -> None:
    """Give the trackers the values of a step.

    Raises:
        DiskError: If one cannot write.
    """
    with named():
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
