"""A classifier that is finished: a student, a teacher, or whatever else predicts from texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch

from mixkd.shared.arrays import Indices, Logits
from mixkd.shared.errors import LogitsError, ModelError
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import MULTI_LABEL, PROBLEM_TYPES, REGRESSION
from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.checkpoint import CONFIG
from mixkd.shared.models.device import elsewhere, memory_for, resolve_device
from mixkd.shared.models.encode import encode_texts
from mixkd.shared.models.loading import Labels, load_student
from mixkd.shared.models.locate import locate
from mixkd.shared.models.model import (
    check_positions,
    pad_id,
    position_count,
    to_array,
    to_tensors,
    usual_inputs,
)
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.tokenizer import check_vocabulary, load_strangers_tokenizer
from mixkd.shared.options import check_count
from mixkd.shared.training import sorted_batches
from mixkd.student_train.finished.known_label_sets import KnownLabelSets
from mixkd.student_train.finished.known_labels import KnownLabels

USUAL_MAX_LENGTH = 512  # where neither model nor tokenizer has a limit


@dataclass(frozen=True, slots=True)
class Classifier:
    """A model with its tokenizer, ready on a device, in float32.

    Attributes:
        name: What the user called it.
        labels: Those that it answers with, in the order of its logits.
        max_length: Tokens that texts are cut to, special ones included.
        batch_size: Rows at once, at most.
    """

    name: str
    model: Any
    tokenizer: Any
    labels: KnownLabels
    max_length: int
    batch_size: int
    pad_id: int
    device: torch.device

    @classmethod
    def load(
        cls,
        name: str,
        *,
        max_length: int | None = None,
        batch_size: int = 64,
        device: str = "auto",
        allow_model_type: Sequence[str] = (),
        most: int | None = None,
    ) -> Classifier:
        """Load a folder or a model of the Hub, as a student is loaded to start from.

        Args:
            max_length: None takes what the tokenizer notes and the model has positions for, and
                not more than `most`.

        Raises:
            UsageError, ModelError, MalformedError, UnsafeFileError, DeviceError: Naming the file or
                the option.
        """
        check_count("batch_size", batch_size, 1)
        check_count("max_length", 1 if max_length is None else max_length, 1)
        checkpoint = locate(name)
        files = ModelFiles.read(name, checkpoint.folder)
        labels = Labels.of(files.json(CONFIG))
        if labels.problem_type not in PROBLEM_TYPES:
            raise ModelError(
                name,
                expected=f"a model for {' or '.join(PROBLEM_TYPES)}",
                found=f"problem_type {labels.problem_type} in its {CONFIG}",
                do="use another model",
            )
        model = load_student(files, None, allowed=allow_model_type)
        tokens = model.get_input_embeddings().weight.shape[0]
        kind = model.config.model_type
        tokenizer = load_strangers_tokenizer(files, tokens, kind, allow_model_type)
        check_vocabulary(name, tokenizer, tokens, do="save the model with its own tokenizer")
        if max_length is None:
            positions = position_count(model) or USUAL_MAX_LENGTH
            max_length = min(positions, tokenizer.model_max_length, most or positions)
        check_positions(name, model, max_length)
        chosen = resolve_device(device)
        with memory_for(name, chosen, elsewhere(chosen)):
            model.to(chosen)
        known = KnownLabelSets if labels.problem_type == MULTI_LABEL else KnownLabels
        return cls(
            name,
            model,
            tokenizer,
            known(() if labels.problem_type == REGRESSION else labels.names),
            max_length,
            batch_size,
            pad_id(name, model, tokenizer.pad_token_id),
            chosen,
        )

    @property
    def logit_count(self) -> int:
        return len(self.labels.names) or 1

    def encode(self, texts: Sequence[Sequence[str]]) -> Examples:
        """Tokenise one or two lists of texts; the examples have no labels of their own."""
        columns = [pa.array(column, pa.string()) for column in texts]
        second = columns[1] if len(columns) > 1 else None
        ids, types = encode_texts(self.tokenizer, columns[0], second, self.max_length)
        return Examples(ids, types, np.zeros(len(columns[0]), np.int64))

    def logits(self, examples: Examples) -> Iterator[tuple[Indices, Logits]]:
        """Compute logits in batches of similar length: row numbers [B], float32 [B, C].

        Raises:
            LogitsError: If one is not finite.
            DeviceMemoryError: If a batch does not fit, naming a smaller one.
        """
        smaller = f"use --batch-size {self.batch_size // 2}"
        advice = smaller if self.batch_size > 1 else elsewhere(self.device)
        for rows in sorted_batches(examples.lengths, self.batch_size):
            batch = examples.originals(rows, self.pad_id)
            size = f"{len(rows)} x {batch.left_ids.shape[1]} tokens"
            with torch.inference_mode(), memory_for(size, self.device, advice):
                logits = to_array(self.from_ids(to_tensors(batch, self.device)))  # [B, C]
            if not np.isfinite(logits).all():
                raise LogitsError(
                    self.name,
                    expected="finite logits",
                    found="others",
                    do="train it again: its weights are not usable",
                )
            yield rows, logits

    def from_ids(self, batch: MixBatch) -> torch.Tensor:
        """Compute the logits [B, C] of the left sides."""
        return cast(torch.Tensor, self.model(**usual_inputs(self.model, batch)).logits)

    def parameters(self) -> Any:
        return self.model.parameters()

    def eval(self) -> Any:
        return self.model.eval()
