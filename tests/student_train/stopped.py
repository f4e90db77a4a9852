"""`train-student` that every process's SIGTERM stops after a step; exit 0 if it was stopped.

python -m tests.student_train.stopped STEP CACHE STUDENT OUT
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixkd.shared.command import Terminated
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.train import train

SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 3,
    "learning_rate": 1e-3,
    "device": "cpu",
    "log_steps": 1,
}


def train_until(step: int, options: TrainOptions) -> None:
    """Raise if the run was not stopped there; several processes stop at multiples of 10 only."""

    def observe(done: int, losses: Mapping[str, float]) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        train(options, observe)
    except Terminated:
        return
    raise RuntimeError(f"the run was not stopped after step {step}")


if __name__ == "__main__":
    cache, student, out = sys.argv[2:]
    options = TrainOptions(cache=(Path(cache),), student=student, out=Path(out), **SETTINGS)
    train_until(int(sys.argv[1]), options)
