"""How fast and how large a model is, measured for a second or two where it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mixkd.shared.arrays import Indices, Logits
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

    def answer(batch: MixBatch) -> Logits:
        with torch.inference_mode(), autocast():
            return to_array(student.from_ids(to_tensors(batch, device)))  # waits for the device

    def seconds_of(chosen: Indices) -> float:
        return _seconds(answer, examples.originals(chosen, student.pad_id))

    seconds_of(batches[0])  # what only the first call does
    done, taken = 0, 0.0
    for batch in batches:
        taken += seconds_of(batch)
        done += len(batch)
        if taken > SECONDS:
            break
    weights = list(student.parameters())
    return Speed(
        examples_per_second=round(done / max(taken, 1e-9), 1),
        latency_ms=latency_ms(answer, examples, student.pad_id),
        parameters=sum(weight.numel() for weight in weights),
        size_mb=round(sum(weight.numel() * weight.element_size() for weight in weights) / 1e6, 2),
    )


def latency_ms(answer: Callable[[MixBatch], Logits], examples: Examples, pad_id: int) -> float:
    """Measure the median milliseconds of one example alone, for about a second at most.

    Args:
        answer: Computes the logits of a batch, and waits for them.
        examples: Up to 30 are taken, at even distances.
    """
    rows = np.unique(np.linspace(0, len(examples) - 1, SINGLE_EXAMPLES).astype(np.int64))  # [n]
    alone: list[float] = []
    for row in rows:
        alone.append(_seconds(answer, examples.originals([row], pad_id)))
        if sum(alone) > SECONDS:
            break
    return round(1000 * median(alone), 3)


def _seconds(answer: Callable[[MixBatch], Logits], batch: MixBatch) -> float:
    began = time.perf_counter()
    answer(batch)
    return time.perf_counter() - began
