"""Fine-tune a classifier: shuffled batches of similar length, AdamW, a linear rise and fall.

One device, weights in float32, matrix products in the format asked for. For several devices, any
trainer that ends in `save_pretrained` makes a teacher, too.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.errors import ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION
from mixkd.shared.models.checkpoint import read_config
from mixkd.shared.models.device import elsewhere, memory_for
from mixkd.shared.models.loading import Labels, load_classifier
from mixkd.shared.models.locate import Checkpoint
from mixkd.shared.models.model import to_tensor, to_tensors, usual_inputs
from mixkd.shared.progress import progress
from mixkd.shared.training import learning_rate, parameter_groups, shuffled_batches
from mixkd.teacher_cache.data.load import Data
from mixkd.teacher_cache.teacher import Teacher

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
WARMUP = 0.1
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """How to train.

    Attributes:
        dtype: `float32` or `bfloat16`, the format of matrix products.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    dtype: str


def load_for(
    checkpoint: Checkpoint,
    data: Data,
    max_length: int,
    tokenizer: Any,
    device: torch.device,
    seed: int,
) -> Teacher:
    """Load a model with a head for the data's labels; a new one unless the checkpoint's fits.

    Args:
        seed: Of a new head's weights.

    Raises:
        ModelError: If `transformers` cannot load it or it has too few positions.
    """
    read_config(checkpoint)
    names = tuple(data.label_names) or ("score",)
    model, initialised = load_classifier(checkpoint, Labels(names, data.problem_type), seed)
    new = ", ".join(sorted(initialised)) or "none"
    log.info("%s: randomly initialised: %s", checkpoint.name, new)
    pad, columns = tokenizer.pad_token_id, range(len(names))
    teacher = Teacher.of(checkpoint.name, model, columns, "union", pad, max_length, device)
    teacher.name_pad_id()
    return teacher


def fit(
    teacher: Teacher,
    examples: Examples,
    problem_type: str,
    course: Course,
    track: Callable[[Mapping[str, float], int], None] = lambda values, step: None,
) -> int:
    """Train the teacher's model on the examples; returns the number of steps.

    Args:
        track: Called with (values, step) after each epoch.

    Raises:
        DeviceMemoryError: With a smaller batch size to try.
        ModelError: If the loss is not finite.
    """
    import torch

    model = teacher.model
    groups = parameter_groups(model, WEIGHT_DECAY)
    optimizer = torch.optim.AdamW(groups, lr=course.learning_rate)
    steps = course.epochs * math.ceil(len(examples) / course.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate(1.0, step, steps, WARMUP)
    )
    torch.manual_seed(course.seed)  # of dropout
    model.train()
    lengths = examples.lengths  # [n]
    for epoch in range(course.epochs):
        losses = []
        with progress(len(examples), f"fine-tuning, epoch {epoch + 1}", "examples") as step:
            for rows in shuffled_batches(lengths, course.batch_size, course.seed, epoch):
                with _memory_for(teacher, examples, rows):
                    loss = _loss(teacher, examples, rows, problem_type, course.dtype)
                    loss.backward()  # type: ignore[no-untyped-call]
                    torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
                    optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                losses.append(loss.detach())
                step(len(rows))
        mean = float(torch.stack(losses).mean())
        _report(teacher.name, epoch + 1, course.epochs, mean)
        track({"loss": mean, "epoch": epoch + 1}, (epoch + 1) * steps // course.epochs)
    model.eval()
    return steps


def _loss(
    teacher: Teacher,
    examples: Examples,
    rows: npt.NDArray[np.int64],
    problem_type: str,
    dtype: str,
) -> torch.Tensor:
    """Compute the mean cross entropy of a batch: for multi-label over all its labels, for
    regression the mean squared error."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

    batch = to_tensors(examples.originals(rows, teacher.pad_id), teacher.device)
    inputs = usual_inputs(teacher.model, batch)  # [B, T] each
    labels = to_tensor(examples.labels[rows], teacher.device)  # [B], or [B, C] for multi-label
    lower = dtype != "float32"
    with torch.autocast(teacher.device.type, dtype=getattr(torch, dtype), enabled=lower):
        logits = teacher.model(**inputs).logits.float()  # [B, C]
    if problem_type == REGRESSION:
        return mse_loss(logits[:, 0], labels)
    if problem_type == MULTI_LABEL:
        return binary_cross_entropy_with_logits(logits, labels.float())
    return cross_entropy(logits, labels)


def _memory_for(
    teacher: Teacher, examples: Examples, rows: npt.NDArray[np.int64]
) -> AbstractContextManager[None]:
    width = int(examples.lengths[rows].max())
    smaller = f"try --batch-size {len(rows) // 2}"
    remedy = smaller if len(rows) > 1 else f"{elsewhere(teacher.device)}, or a shorter --max-length"
    return memory_for(f"a batch of {len(rows)} x {width} tokens", teacher.device, remedy)


def _report(name: str, epoch: int, epochs: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise ModelError(
            name,
            expected="a finite loss",
            found=f"{loss} in epoch {epoch}",
            do="try a lower --learning-rate, or --dtype float32",
        )
    log.info("epoch %d of %d: mean loss %.4f", epoch, epochs, loss)
