"""The teacher: a sequence classification model, loaded with care, that scores batches of mixes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.errors import LabelOrderError, ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import InputEmbeddings, MaskRule, MixBatch, mixed_inputs
from mixkd.shared.models.checkpoint import Checkpoint
from mixkd.shared.models.device import memory_for, resolve_device
from mixkd.shared.models.files import quiet
from mixkd.shared.models.loading import check_positions, load_model, pad_id
from mixkd.shared.models.probe import probe
from mixkd.teacher_cache.precision import Dtype, choose_dtype

if TYPE_CHECKING:
    import torch

Logits = npt.NDArray[np.float32]


@dataclass(slots=True)
class Teacher:
    """A loaded teacher in eval mode; weights float32 on one device.

    Attributes:
        name: What the user called it.
        model: The `transformers` model.
        columns: For each class of the cache, the model's label.
        mask: Which positions of a mix are visible.
        pad_id: The id that fills up short rows.
        dtype: The format of the pass, float32 until `choose_dtype`.
    """

    name: str
    model: Any
    columns: tuple[int, ...]
    mask: MaskRule
    pad_id: int
    device: torch.device
    embeddings: InputEmbeddings
    dtype: Dtype = "float32"

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        columns: Sequence[int],
        *,
        mask: MaskRule,
        max_length: int,
        tokenizer_pad_id: int | None = None,
        device: str = "auto",
    ) -> Teacher:
        """Load the model of `checkpoint` onto `device`.

        Args:
            columns: From `labels.teacher_columns`.
            max_length: The longest example, in tokens.
            tokenizer_pad_id: Used where the model names no pad id.

        Raises:
            ModelError: If it cannot be loaded, has no pad id or too few positions.
            UntrainedHeadError: If some of its weights are not in the files.
            DeviceMemoryError: If it does not fit.
        """
        chosen = resolve_device(device)
        model = load_model(checkpoint)
        if model.config.num_labels != len(columns):
            raise LabelOrderError(
                checkpoint.name,
                expected=f"{len(columns)} labels",
                found=model.config.num_labels,
                do="use a teacher that was fine-tuned on this task",
            )
        chosen_pad_id = pad_id(checkpoint.name, model, tokenizer_pad_id)
        check_positions(checkpoint.name, model, max_length)
        with memory_for("the model", chosen, "use --device cpu or a smaller teacher"):
            model.to(chosen)
        return cls(
            name=checkpoint.name,
            model=model,
            columns=tuple(columns),
            mask=mask,
            pad_id=chosen_pad_id,
            device=chosen,
            embeddings=InputEmbeddings.of(model),
        )

    def score(self, batch: MixBatch) -> Logits:
        """The raw logits of a batch of mixes, float32 [B, C], in the cache's order of classes.

        Embeddings are looked up and mixed in float32, whatever the format of the pass.

        Raises:
            DeviceMemoryError: With a budget of tokens that may fit.
        """
        return self._score(batch, self.dtype)

    def probe(self, examples: Examples) -> None:
        """Refuse a model that these examples, or mixes of them, cannot be given to.

        Raises:
            PaddingDependentError: If the model does not pass the contract's probe.
            ModelError: If ids or types are beyond its tables, or it cannot take them at all.
        """
        self._check_ids(examples)
        with quiet():
            probe(
                self.name,
                examples,
                self.pad_id,
                from_ids=self._score_ids,
                from_mix=lambda batch: self._score(batch, "float32"),
            )

    def choose_dtype(self, requested: str, batch: MixBatch) -> float:
        """Set the format of the pass; returns how far a batch's logits are from float32.

        Raises:
            UsageError: If the format is unknown.
            LogitsError: If the format that was asked for gives NaN or infinity.
        """
        self.dtype, difference = choose_dtype(
            requested, self.device, lambda dtype: self._score(batch, dtype)
        )
        return difference

    def difference(self, batch: MixBatch) -> float:
        """How far the logits of a batch of mixes are from float32, in the format of the pass."""
        full = self._score(batch, "float32")
        return float(np.abs(self._score(batch, self.dtype) - full).max())

    def _score(self, batch: MixBatch, dtype: Dtype) -> Logits:
        import torch

        with torch.inference_mode(), self._memory_of(batch):
            moved = batch.map(self._move)
            inputs = mixed_inputs(self.embeddings, moved, self.mask)
            lower = getattr(torch, dtype)
            with torch.autocast(self.device.type, dtype=lower, enabled=dtype != "float32"):
                return self._in_order(self.model(**inputs).logits)

    def _score_ids(self, batch: MixBatch) -> Logits:
        """The logits of a batch's left sides, given to the model in its usual way."""
        import torch

        with torch.inference_mode(), self._memory_of(batch):
            moved = batch.map(self._move)
            inputs = {"input_ids": moved.left_ids, "attention_mask": moved.left_mask}
            if "token_type_ids" in inspect.signature(self.model.forward).parameters:
                inputs["token_type_ids"] = moved.left_types
            return self._in_order(self.model(**inputs).logits)

    def _in_order(self, logits: torch.Tensor) -> Logits:
        ordered: Logits = logits.float()[:, list(self.columns)].cpu().numpy()
        return ordered

    def _move(self, values: npt.NDArray[np.generic]) -> torch.Tensor:
        """A NumPy array on the device; pinned first for CUDA, so that copies overlap."""
        import torch

        # Arrays that are views of a memory map cannot be written to, which torch warns about.
        tensor = torch.from_numpy(np.require(values, requirements=["C", "W"]))
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor

    def _memory_of(self, batch: MixBatch) -> Any:
        rows, width = batch.left_ids.shape
        remedy = (
            f"try --batch-tokens {rows * width // 2}" if rows > 1 else "try a shorter --max-length"
        )
        return memory_for(f"a batch of {rows} x {width} tokens", self.device, remedy)

    def _check_ids(self, examples: Examples) -> None:
        """Ids beyond a table would be an error deep inside the model, or end a CUDA process."""
        types = examples.token_type_ids
        tables: list[tuple[str, Any, Any]] = [
            ("token ids", self.embeddings.word, examples.input_ids.flat)
        ]
        if types is not None and self.embeddings.token_type is not None:
            tables.append(("token types", self.embeddings.token_type, types.flat))
        for what, table, numbers in tables:
            size, largest = table.weight.shape[0], int(numbers.max(initial=0))
            if largest >= size:
                raise ModelError(
                    self.name,
                    expected=f"{what} below {size}, the size of the model's table",
                    found=largest,
                    do="use the tokenizer that the model was trained with",
                )
