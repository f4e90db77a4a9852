"""The teacher: a sequence classification model, from files or from memory, that scores mixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from mixkd.shared.arrays import Logits
from mixkd.shared.errors import LabelOrderError, ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import InputEmbeddings, MaskRule, MixBatch, mixed_inputs
from mixkd.shared.models.device import elsewhere, memory_for, ready, resolve_device
from mixkd.shared.models.loading import load_classifier
from mixkd.shared.models.locate import Checkpoint
from mixkd.shared.models.model import (
    check_ids,
    check_positions,
    pad_id,
    to_array,
    to_tensors,
    usual_inputs,
)
from mixkd.shared.models.probe import probe
from mixkd.shared.models.tokenizer import check_vocabulary
from mixkd.shared.options import Dtype
from mixkd.teacher_cache.precision import choose_dtype

if TYPE_CHECKING:
    import torch
    from torch import nn

ROWS_MEASURED_AT_ONCE = 8  # when formats are compared


@dataclass(slots=True)
class Teacher:
    """A teacher in eval mode; weights float32 on one device.

    Attributes:
        name: What the user called it.
        model: A classifier like those of `transformers`.
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
            LabelOrderError: If its number of labels is not that of `columns`.
            UntrainedHeadError: If some of its weights are not in the files.
            DeviceError: If the device cannot compute, or the model does not fit.
        """
        chosen = resolve_device(device)
        model, _ = load_classifier(checkpoint)
        model.requires_grad_(False)
        teacher = cls.of(
            checkpoint.name, model, columns, mask, tokenizer_pad_id, max_length, chosen
        )
        teacher.name_pad_id()
        return teacher

    @classmethod
    def from_model(
        cls,
        model: nn.Module,
        tokenizer: Any,
        *,
        name: str,
        columns: Sequence[int] | None = None,
        mask: MaskRule = "union",
        max_length: int,
        device: str | None = None,
    ) -> Teacher:
        """Take a model and its tokenizer from memory; `model_sha256` is its identity.

        Args:
            model: Any module with `config.num_labels`, `get_input_embeddings()` and a `forward` of
                `inputs_embeds` or `input_ids` with an `attention_mask`, whose result has `logits`
                [B, C]; its weights in float32. It is put into eval mode and moved to the device.
            tokenizer: Of `transformers`; it stays as it is.
            name: For messages and the cache's description.
            columns: For each class of the cache, the model's label; None is the model's own order.
            max_length: The longest example, in tokens.
            device: None leaves the model where it is.

        Raises:
            ModelError: If it is not such a module, has no pad id or too few positions.
            LabelOrderError: If its number of labels is not that of `columns`.
            DeviceError: If the device cannot compute, or the model does not fit.
        """
        _check_module(name, model)
        weights: Any = model.get_input_embeddings().weight  # type: ignore[operator]  # [V, D]
        check_vocabulary(
            name,
            tokenizer,
            weights.shape[0],
            do="call model.resize_token_embeddings(len(tokenizer))",
        )
        settings: Any = model.config
        order = tuple(range(settings.num_labels)) if columns is None else columns
        chosen = ready(weights.device) if device is None else resolve_device(device)
        return cls.of(name, model, order, mask, tokenizer.pad_token_id, max_length, chosen)

    @classmethod
    def of(
        cls,
        name: str,
        model: Any,
        columns: Sequence[int],
        mask: MaskRule,
        tokenizer_pad_id: int | None,
        max_length: int,
        device: torch.device,
    ) -> Teacher:
        """Check a model's labels, pad id and positions, and move it to its device."""
        if model.config.num_labels != len(columns):
            raise LabelOrderError(
                name,
                expected=f"{len(columns)} labels",
                found=model.config.num_labels,
                do="use a teacher that was fine-tuned on this task",
            )
        pad = pad_id(name, model, tokenizer_pad_id)
        check_positions(name, model, max_length)
        with memory_for("the model", device, elsewhere(device)):
            model.eval().to(device)
        embeddings = InputEmbeddings.of(model)
        return cls(name, model, tuple(columns), mask, pad, device, embeddings)

    def name_pad_id(self) -> None:
        """Write the pad id into the model's config: some models look for the last token themselves,
        and students inherit it."""
        self.model.config.pad_token_id = self.pad_id

    @property
    def parameter_count(self) -> int:
        """The numbers in its weights."""
        return sum(weight.numel() for weight in self.model.parameters())

    def score(self, batch: MixBatch) -> Logits:
        """Compute the raw logits of a batch of mixes, float32 [B, C], in the cache's class order.

        Embeddings are looked up and mixed in float32, whatever the format of the pass.

        Raises:
            DeviceMemoryError: If the batch does not fit; who can make it smaller says how.
        """
        return self._score(batch, self.dtype)

    def probe(self, examples: Examples) -> None:
        """Refuse a model that these examples, or mixes of them, cannot be given to.

        Raises:
            PaddingDependentError: If the model does not pass the contract's probe.
            ModelError: If ids or types are beyond its tables, or it cannot take them at all.
        """
        check_ids(
            self.name,
            self.embeddings,
            [examples],
            do="use the tokenizer that the model was trained with",
        )
        probe(
            self.name,
            examples,
            self.pad_id,
            from_ids=lambda batch: self._score(batch, "float32", from_ids=True),
            from_mix=lambda batch: self._score(batch, "float32"),
        )

    def choose_dtype(self, requested: str, batch: MixBatch) -> float:
        """Set the format of the pass; returns how far a batch's logits are from float32.

        Raises:
            UsageError: If the format is unknown.
            LogitsError: If the format that was asked for gives NaN or infinity.
        """
        problem_type = getattr(getattr(self.model, "config", None), "problem_type", None)
        self.dtype, difference = choose_dtype(
            requested, self.device, lambda dtype: self._in_parts(batch, dtype), problem_type
        )
        return difference

    def difference(self, batch: MixBatch) -> float:
        """Measure how far a batch's logits are from float32, in the format of the pass."""
        full = self._in_parts(batch, "float32")  # [B, C]
        return float(np.abs(self._in_parts(batch, self.dtype) - full).max())

    def _in_parts(self, batch: MixBatch, dtype: Dtype) -> Logits:
        """Compute the logits [B, C] of mixes, few at a time: no option makes this batch smaller."""
        starts = range(0, len(batch.lam), ROWS_MEASURED_AT_ONCE)
        parts = [batch.map(itemgetter(slice(at, at + ROWS_MEASURED_AT_ONCE))) for at in starts]
        return np.concatenate([self._score(part, dtype) for part in parts])

    def _score(self, batch: MixBatch, dtype: Dtype, from_ids: bool = False) -> Logits:
        """Compute the logits [B, C] of mixes or, `from_ids`, of the left sides in the usual way."""
        import torch

        rows, width = batch.left_ids.shape
        what = f"a batch of {rows} x {width} tokens"
        memory = memory_for(what, self.device, elsewhere(self.device))
        with torch.inference_mode(), memory:
            tensors = to_tensors(batch, self.device)
            if from_ids:
                inputs = usual_inputs(self.model, tensors)
            else:
                inputs = mixed_inputs(self.embeddings, tensors, self.mask)
            lower = getattr(torch, dtype)
            with torch.autocast(self.device.type, dtype=lower, enabled=dtype != "float32"):
                logits = self.model(**inputs).logits  # [B, C]
            return to_array(logits.float()[:, list(self.columns)])


def _check_module(name: str, model: nn.Module) -> None:
    """Refuse a module that is not a float32 classifier like those of `transformers`."""
    import torch

    other = {str(p.dtype) for p in model.parameters() if p.dtype != torch.float32}
    if not isinstance(getattr(getattr(model, "config", None), "num_labels", None), int):
        found = "no number there"
    elif not callable(getattr(model, "get_input_embeddings", None)):
        found = "no get_input_embeddings()"
    elif other:
        found = f"weights in {', '.join(sorted(other))}"
    else:
        return
    raise ModelError(
        name,
        expected="a classifier with config.num_labels, get_input_embeddings() and float32 weights",
        found=found,
        do="give a sequence classifier of transformers, or a module like one; "
        "model.float() converts weights",
    )
