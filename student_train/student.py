"""The student: loaded from the cache or by name, probed, and run on mixes of its own embeddings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import InputEmbeddings, MaskRule, MixBatch, mixed_inputs
from mixkd.shared.models.files import check_vocabulary, files_sha256, model_folder
from mixkd.shared.models.probe import Logits, probe
from mixkd.student_train.encode import largest_id, tokenizer_and_examples
from mixkd.student_train.loading import load_model


class Student(nn.Module):
    """A sequence classifier that takes mixes.

    Shapes: B mixes, T positions, D embedding width, C logits (1 for regression).
    """

    def __init__(self, model: Any, mask_rule: MaskRule) -> None:
        super().__init__()
        self.model = model
        self.mask_rule = mask_rule
        self.embeddings = InputEmbeddings.of(model)
        accepted = inspect.signature(model.forward).parameters
        self.takes_types = "token_type_ids" in accepted and self.embeddings.token_type is not None

    def forward(self, batch: MixBatch) -> Tensor:
        """Logits [B, C] of mixes, through the same function as the teacher's."""
        inputs = mixed_inputs(self.embeddings, batch, self.mask_rule)  # [B, T, D] and [B, T]
        return cast(Tensor, self.model(**inputs).logits)

    def from_ids(self, batch: MixBatch) -> Tensor:
        """Logits [B, C] of the left sides, the model's usual way."""
        inputs = {"input_ids": batch.left_ids, "attention_mask": batch.left_mask}
        if self.takes_types and batch.left_types is not None:
            inputs["token_type_ids"] = batch.left_types
        return cast(Tensor, self.model(**inputs).logits)

    @property
    def pad_id(self) -> int:
        """The id that fills up short rows."""
        return int(self.model.config.pad_token_id)

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


@dataclass(frozen=True, slots=True)
class Start:
    """What training begins with.

    Attributes:
        student: In float32, on the CPU.
        tokenizer: The one that made `examples`, to be saved with the student.
        examples: Of each split, as this student reads them.
        sha256: Of the files that it was loaded from.
    """

    student: Student
    tokenizer: Any
    examples: dict[str, Examples]
    sha256: str


def load(cache: Cache, name: str | None, layers: int | None, seed: int) -> Start:
    """Load, check and probe a student.

    Args:
        cache: Gives labels, mask rule, tokenizer, examples and, without `name`, the start.
        name: A folder or Hub id; an existing path wins.
        layers: Depth of the cache's starting point; None is the deepest.
        seed: Of the weights that have to be made up: the head's.

    Raises:
        UsageError, ModelError, LabelOrderError, PaddingDependentError, UnsafeFileError, DataError.
    """
    folder = cache.student_folder(layers) if name is None else model_folder(name)
    model = load_model(folder, cache.identity, seed, foreign=name is not None)
    student = Student(model, cache.identity.mixup.mask)
    tokens = model.get_input_embeddings().weight.shape[0]
    tokenizer, examples = tokenizer_and_examples(cache, folder, name is not None, tokens)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id or 0
    _check_ids(folder, tokens, examples)
    check_vocabulary(folder, tokenizer, tokens, do="use a student whose tokenizer is its own")
    _probe(name or str(folder), student, examples)
    weights = [file.name for file in folder.glob("*.safetensors")]
    sha256 = files_sha256(folder, ["config.json", *weights])
    return Start(student, tokenizer, examples, sha256)


def tensors(batch: MixBatch, device: torch.device | str) -> MixBatch:
    """The batch as tensors on a device."""
    return batch.map(lambda array: moved(array, device))


def moved(array: np.ndarray[Any, Any], device: torch.device | str) -> Tensor:
    """A NumPy array on a device; pinned first for CUDA, so that the copy need not be waited for."""
    tensor = torch.from_numpy(array)
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _check_ids(folder: Path, tokens: int, examples: Mapping[str, Examples]) -> None:
    """Refuse examples with ids that the student has no embeddings for."""
    largest = largest_id(examples)
    if largest >= tokens:
        raise ModelError(
            folder,
            expected=f"embeddings for the cache's ids, up to {largest}",
            found=f"{tokens} embeddings and no tokenizer of its own",
            do="use a student of the same vocabulary, or one that is saved with its tokenizer",
        )


def _probe(name: str, student: Student, examples: Mapping[str, Examples]) -> None:
    """The contract's probe, on the split that has the longest example."""

    def on_cpu(forward: Any, batch: MixBatch) -> Logits:
        with torch.inference_mode():
            return cast(Logits, forward(tensors(batch, "cpu")).float().numpy())

    split = max(examples.values(), key=lambda split: int(split.lengths.max()))
    probe(
        name,
        split,
        student.pad_id,
        lambda batch: on_cpu(student.from_ids, batch),
        lambda batch: on_cpu(student, batch),
    )


def as_array(logits: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Logits [B, C] as float32 on the host."""
    return cast("np.ndarray[Any, np.dtype[np.float32]]", logits.float().cpu().numpy())
