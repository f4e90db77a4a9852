"""Ctrl-C and SIGTERM: held back until the loop asks for them after a step."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from mixkd.shared.command import Terminated

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Asking the other processes costs a synchronisation; torchrun waits 30 s before it kills.
STEPS_BETWEEN_QUESTIONS = 10


class Interruption:
    """Holds both signals back while the loop runs; a second one acts at once."""

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere the caller decides.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def requested(self, step: int = 0) -> bool:
        """Return whether any process was interrupted; every process must ask at the same steps.

        With several processes the answer is no except at every tenth step.
        """
        if self.accelerator.num_processes == 1:
            return self.signal is not None
        if step % STEPS_BETWEEN_QUESTIONS:
            return False
        if self.signal is not None:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def end(self, step: int, steps: int) -> None:
        """Do what the signal would have done, after `step` of `steps` steps.

        Raises:
            KeyboardInterrupt, Terminated: The latter also where another process had the signal.
        """
        log.info("stopped after step %d of %d; continue with --resume", step, steps)
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
