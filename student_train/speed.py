"""How fast and how large a student is, measured for a second or two where it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mixkd.shared.arrays import Indices
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.model import to_array, to_tensors
from mixkd.shared.training import SCORED_AT_ONCE, sorted_batches

if TYPE_CHECKING:
    import torch

SECONDS = 1.0  # of batches, and again of single examples
LARGEST_SAMPLE = 512
SINGLE_EXAMPLES = 30


@dataclass(frozen=True, slots=True)
class Speed:
    """What a student costs where it was measured.

    Attributes:
        examples_per_second: In batches of similar length.
        latency_ms: Median milliseconds of one example alone, ids to logits.
        size_mb: Of the weights, in units of 10^6 bytes.
    """

    examples_per_second: float
    latency_ms: float
    parameters: int
    size_mb: float


class Measurable(Protocol):
    """What is measured: a `Student`, or a module that is called like one."""

    @property
    def pad_id(self) -> int: ...

    def from_ids(self, batch: MixBatch) -> torch.Tensor: ...

    def parameters(self) -> Any: ...

    def eval(self) -> Any: ...


def measure(
    student: Measurable,
    examples: Examples,
    device: torch.device,
    at_once: int = SCORED_AT_ONCE,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Speed:
    """Measure a student on up to 512 examples, for about two seconds at most.

    Args:
        student: On `device`; it is left in evaluation mode.
        examples: In the student's ids, at least one.
        at_once: Rows of a batch, at most.
        autocast: Makes the context of the number format to run in.
    """
    import torch

    student.eval()
    rows = np.unique(np.linspace(0, len(examples) - 1, LARGEST_SAMPLE).astype(np.int64))  # [n]
    batches = [rows[batch] for batch in sorted_batches(examples.lengths[rows], at_once)]
    batches = [batches[i] for i in np.random.default_rng(0).permutation(len(batches))]
    singles = [rows[i : i + 1] for i in np.linspace(0, len(rows) - 1, SINGLE_EXAMPLES).astype(int)]

    def seconds_of(chosen: Indices) -> float:
        batch = examples.originals(chosen, student.pad_id)
        began = time.perf_counter()
        with torch.inference_mode(), autocast():
            to_array(student.from_ids(to_tensors(batch, device)))  # waits for the device
        return time.perf_counter() - began

    seconds_of(batches[0])  # what only the first call does
    done, taken = 0, 0.0
    for batch in batches:
        taken += seconds_of(batch)
        done += len(batch)
        if taken > SECONDS:
            break
    alone: list[float] = []
    for single in singles:
        alone.append(seconds_of(single))
        if sum(alone) > SECONDS:
            break
    weights = list(student.parameters())
    return Speed(
        examples_per_second=round(done / max(taken, 1e-9), 1),
        latency_ms=round(1000 * median(alone), 3),
        parameters=sum(weight.numel() for weight in weights),
        size_mb=round(sum(weight.numel() * weight.element_size() for weight in weights) / 1e6, 2),
    )
