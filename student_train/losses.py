"""The losses of a run: averaged over processes and steps, checked, logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import Tensor

from mixkd.shared.errors import LogitsError
from mixkd.student_train.state import Position
from mixkd.student_train.trackers import track

log = logging.getLogger(__name__)
Observe = Callable[[int, Mapping[str, float]], None]


class LossLog:
    """Logs the mean losses every `log_steps` steps and after the last one.

    Args:
        observe: Called with (step, mean losses since its last call).
    """

    def __init__(
        self,
        accelerator: Accelerator,
        epochs: int,
        steps: int,
        log_steps: int,
        observe: Observe | None,
    ) -> None:
        self.accelerator = accelerator
        self.epochs, self.steps, self.log_steps = epochs, steps, log_steps
        self.observe = observe
        self._sums: dict[str, Tensor] = {}  # scalars on the device: reading one would wait for it
        self._count = 0

    def add(self, losses: Mapping[str, Tensor], at: Position, rate: float) -> None:
        """Add the losses of a step, scalars of this process.

        Raises:
            LogitsError: If a mean is not finite.
        """
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0) + loss.detach()
        self._count += 1
        if at.done % self.log_steps and at.done != self.steps:
            return
        means = self._means(at.done)
        epoch = at.epoch + 1
        track(self.accelerator, {**means, "learning_rate": rate, "epoch": epoch}, at.done)
        terms = ", ".join(f"{name} {mean:.4f}" for name, mean in means.items() if name != "loss")
        log.info(
            "epoch %d/%d step %d/%d: loss %.4f (%s), learning rate %.2g",
            *(epoch, self.epochs, at.step, at.steps_per_epoch, means["loss"], terms, rate),
        )
        if self.observe:
            self.observe(at.done, means)

    def _means(self, step: int) -> dict[str, float]:
        sums = torch.stack(list(self._sums.values()))  # [losses]
        total = self.accelerator.reduce(sums, "sum")  # [losses]
        means = dict(zip(self._sums, (total / self._count).tolist(), strict=True))
        check_finite(f"the losses up to step {step}", list(means.values()))
        self._sums, self._count = {}, 0
        return means


def check_finite(what: str, values: npt.ArrayLike) -> None:
    """Stop a run that has diverged and would only waste time.

    Raises:
        LogitsError: If a value is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise LogitsError(
            what,
            expected="finite numbers",
            found="NaN or infinity",
            do="lower --learning-rate, or use --dtype float32",
        )
