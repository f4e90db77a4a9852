"""Run steps one after the other and say of each: passed, failed, or not tested and why.

A step is a function of the bench that returns numbers. Its name and the first line of its docstring
are what the table shows.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from scripts.gpu.bench import Bench
from scripts.gpu.outcome import Failed, NotTested

log = logging.getLogger("mixkd.gpu_check")
Numbers = dict[str, Any]
Step = Callable[[Bench], Numbers]
Status = Literal["passed", "failed", "not tested"]
SLOT_S = 540.0  # of ten minutes; what has not begun by then is not tested


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a step.

    Attributes:
        reason: Why it failed or was not tested.
        numbers: What it measured, as JSON values.
    """

    name: str
    title: str
    status: Status
    reason: str
    seconds: float
    numbers: Numbers = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def run(step: Step, bench: Bench) -> Result:
    """Take one step."""
    status: Status
    numbers: Numbers = {}
    began = time.monotonic()
    try:
        numbers, status, reason = step(bench), "passed", ""
    except NotTested as error:
        status, reason = "not tested", str(error)
    except Failed as error:
        status, reason = "failed", str(error)
    except Exception as error:  # a bug of the product or of the step: the next one still runs
        log.exception("%s", step.__name__)
        status, reason = "failed", f"{type(error).__name__}: {error}"[:300]
    seconds = round(time.monotonic() - began, 2)
    title = (inspect.getdoc(step) or "").splitlines()[0]
    return Result(step.__name__, title, status, reason, seconds, numbers)


def run_slot(steps: Sequence[Step], bench: Bench) -> list[Result]:
    """Take the steps of a slot as long as its time lasts."""
    deadline = time.monotonic() + SLOT_S
    results = []
    for step in steps:
        late = time.monotonic() > deadline
        results.append(run(_too_late(step) if late else step, bench))
        log.info("%s: %s %s", step.__name__, results[-1].status, results[-1].reason)
    return results


def _too_late(step: Step) -> Step:
    def instead(bench: Bench) -> Numbers:
        raise NotTested("the slot's time was over")

    instead.__name__, instead.__doc__ = step.__name__, step.__doc__
    return instead
