"""Fine-tuning a classifier: shuffled batches of like lengths, AdamW, a rise and a linear fall.

One device, weights in float32, matrix products in the format asked for. For several devices, any
trainer that ends in `save_pretrained` makes a teacher, too.
"""

from __future__ import annotations

import inspect
import logging
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.errors import ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import REGRESSION
from mixkd.shared.mixup import InputEmbeddings
from mixkd.shared.models.checkpoint import Checkpoint, read_config
from mixkd.shared.models.device import memory_for
from mixkd.shared.models.files import PROPOSAL
from mixkd.shared.models.loading import check_positions, from_files, pad_id
from mixkd.shared.progress import progress
from mixkd.teacher_cache.data.load import Data
from mixkd.teacher_cache.teacher import Teacher

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
WARMUP = 0.1
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0
# Batches are cut from so many batches' worth of shuffled rows, sorted by length, as the Trainer of
# transformers does.
BATCHES_SORTED_TOGETHER = 50


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
    checkpoint: Checkpoint, data: Data, max_length: int, tokenizer: Any, device: torch.device
) -> Teacher:
    """A model with a head for the data's labels; the head is new unless the checkpoint's fits.

    Raises:
        ModelError: If `transformers` cannot load it or it has too few positions.
    """
    read_config(checkpoint)
    names = data.label_names or ("score",)
    model, made_up = from_files(
        checkpoint,
        expected="a model that transformers can load as a classifier",
        do=PROPOSAL,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        problem_type=data.problem_type,
    )
    log.info("%s: new weights: %s", checkpoint.name, ", ".join(sorted(made_up)) or "none")
    chosen_pad_id = pad_id(checkpoint.name, model, tokenizer.pad_token_id)
    check_positions(checkpoint.name, model, max_length)
    with memory_for("the model", device, "use --device cpu or a smaller model"):
        model.eval().to(device)
    return Teacher(
        name=checkpoint.name,
        model=model,
        columns=tuple(range(len(names))),
        mask="union",
        pad_id=chosen_pad_id,
        device=device,
        embeddings=InputEmbeddings.of(model),
    )


def fit(teacher: Teacher, examples: Examples, problem_type: str, course: Course) -> int:
    """Train the teacher's model on the examples; returns the number of steps.

    Raises:
        DeviceMemoryError: With a smaller batch size to try.
        ModelError: If the loss is not finite.
    """
    import torch

    model = teacher.model
    optimizer = torch.optim.AdamW(_decayed(model), lr=course.learning_rate)
    steps = course.epochs * math.ceil(len(examples) / course.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    torch.manual_seed(course.seed)  # of dropout
    model.train()
    for epoch in range(course.epochs):
        losses = []
        with progress(len(examples), f"fine-tuning, epoch {epoch + 1}", "examples") as step:
            for rows in batches(examples.lengths, course.batch_size, course.seed, epoch):
                with _memory_for(teacher, examples, rows):
                    loss = _loss(teacher, examples, rows, problem_type, course.dtype)
                    loss.backward()  # type: ignore[no-untyped-call]
                    torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
                    optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                losses.append(loss.detach())
                step(len(rows))
        _report(teacher.name, epoch + 1, course.epochs, float(torch.stack(losses).mean()))
    model.eval()
    return steps


def batches(
    lengths: npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[npt.NDArray[np.int64]]:
    """Every row once, in batches of like lengths, in random order; a function of (seed, epoch)."""
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(lengths))
    together = batch_size * BATCHES_SORTED_TOGETHER
    found = []
    for start in range(0, len(shuffled), together):
        rows = shuffled[start : start + together]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        found += [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    return [found[number] for number in random.permutation(len(found))]


def _loss(
    teacher: Teacher,
    examples: Examples,
    rows: npt.NDArray[np.int64],
    problem_type: str,
    dtype: str,
) -> torch.Tensor:
    """Mean cross entropy, or mean squared error for regression, of a batch."""
    import torch
    from torch.nn.functional import cross_entropy, mse_loss

    batch = examples.originals(rows, teacher.pad_id)
    inputs = {"input_ids": batch.left_ids, "attention_mask": batch.left_mask}
    # Some tokenizers give types to models that take none.
    if "token_type_ids" in inspect.signature(teacher.model.forward).parameters:
        inputs |= {} if batch.left_types is None else {"token_type_ids": batch.left_types}
    moved = {name: torch.tensor(values, device=teacher.device) for name, values in inputs.items()}
    labels = torch.tensor(examples.labels[rows], device=teacher.device)
    lower = dtype != "float32"
    with torch.autocast(teacher.device.type, dtype=getattr(torch, dtype), enabled=lower):
        logits = teacher.model(**moved).logits.float()
    if problem_type == REGRESSION:
        return mse_loss(logits[:, 0], labels)
    return cross_entropy(logits, labels)


def _decayed(model: Any) -> list[dict[str, Any]]:
    """Weight decay for matrices alone: biases and norms, which are vectors, go without."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _rate(step: int, steps: int) -> float:
    """The share of the learning rate at a step: a linear rise, then a linear fall to 0."""
    rise = max(1, round(WARMUP * steps))
    return min((step + 1) / rise, (steps - step) / max(1, steps - rise))


def _memory_for(
    teacher: Teacher, examples: Examples, rows: npt.NDArray[np.int64]
) -> AbstractContextManager[None]:
    width = int(examples.lengths[rows].max())
    smaller = max(1, len(rows) // 2)
    return memory_for(
        f"a batch of {len(rows)} x {width} tokens", teacher.device, f"try --batch-size {smaller}"
    )


def _report(name: str, epoch: int, epochs: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise ModelError(
            name,
            expected="a finite loss",
            found=f"{loss} in epoch {epoch}",
            do="try a lower --learning-rate, or --dtype float32",
        )
    log.info("epoch %d of %d: mean loss %.4f", epoch, epochs, loss)
