"""From a loaded teacher to a scorer, in the number format of its pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixkd.shared import plan
from mixkd.shared.arrays import Logits
from mixkd.shared.cache.header import Identity
from mixkd.shared.cache.records import Made
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.device import elsewhere, memory_advice
from mixkd.teacher_cache.scoring import Scorer
from mixkd.teacher_cache.teacher import Teacher

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}
DEFAULT_BATCH_TOKENS = 8192
DTYPE_PROBE_ROWS = 32
DTYPE_PROBE_MIXES = 64


def choose_dtype(teacher: Teacher, requested: str, train: Examples, identity: Identity) -> float:
    """Set the number format of the teacher's pass.

    Returns:
        The largest difference of a logit from float32, on 32 examples and 64 mixes: 0 for float32.
    """
    some = np.linspace(0, len(train) - 1, min(DTYPE_PROBE_ROWS, len(train))).astype(np.int64)
    difference = teacher.choose_dtype(requested, train.originals(some, teacher.pad_id))
    if teacher.dtype == "float32":
        return difference
    # Mixes lie between examples, where a teacher is less sure: the format moves them more.
    mixup = identity.mixup
    pairs = plan.pairs(0, DTYPE_PROBE_MIXES, examples=len(train), seed=mixup.seed, beta=mixup.beta)
    return max(difference, teacher.difference(train.mixes(pairs, teacher.pad_id)))


def scorer_of(teacher: Teacher, batch_tokens: int | None) -> Scorer:
    """Return the scorer of a loaded teacher; a batch that does not fit proposes fewer tokens."""
    import torch
    import transformers

    kind = teacher.device.type
    name = torch.cuda.get_device_name(teacher.device) if kind == "cuda" else kind

    def score(batch: MixBatch) -> Logits:
        with memory_advice(fewer_tokens(teacher.device, *batch.left_ids.shape)):
            return teacher.score(batch)

    return Scorer(
        score=score,
        pad_id=teacher.pad_id,
        batch_tokens=batch_tokens or BATCH_TOKENS.get(kind, DEFAULT_BATCH_TOKENS),
        made=Made(
            torch=str(torch.__version__),
            transformers=transformers.__version__,
            device=name,
            dtype=teacher.dtype,
        ),
    )


def fewer_tokens(device: torch.device, rows: int, width: int) -> str:
    """Say what makes a batch of `rows` x `width` tokens fit."""
    if rows > 1:
        return f"try --batch-tokens {rows * width // 2}"
    return f"{elsewhere(device)}, or a shorter --max-length"
