"""The student: loaded from the cache or by name, probed, and run on mixes of its own embeddings."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mixkd.shared.arrays import Logits
from mixkd.shared.cache.header import Identity
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.starts import start_name
from mixkd.shared.errors import LabelOrderError, ModelError, UsageError
from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.mixup import InputEmbeddings, MaskRule, MixBatch, mixed_inputs
from mixkd.shared.models.checkpoint import CONFIG, label_names
from mixkd.shared.models.loading import Labels, load_student
from mixkd.shared.models.locate import locate
from mixkd.shared.models.model import (
    check_ids,
    position_count,
    to_array,
    to_tensors,
    usual_inputs,
)
from mixkd.shared.models.probe import PROBE_ROWS, probe, probe_rows
from mixkd.shared.models.quietly import named_errors
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.tokenizer import check_vocabulary
from mixkd.shared.output import scratch_folder
from mixkd.student_train.encode import tokenizer_and_examples

PROBE_TOKENS = 128
PROBE_SCORES = 2**24  # of all heads and rows in one layer, as float32 64 MiB


class Student(nn.Module):
    """A sequence classifier that takes mixes.

    Shapes: B mixes, T positions, D embedding width, C logits (1 for regression).
    """

    def __init__(self, model: Any, mask_rule: MaskRule) -> None:
        super().__init__()
        self.model = model
        self.mask_rule = mask_rule
        self.embeddings = InputEmbeddings.of(model)

    def forward(self, batch: MixBatch) -> Tensor:
        """Compute the logits [B, C] of mixes, through the same function as the teacher's."""
        inputs = mixed_inputs(self.embeddings, batch, self.mask_rule)  # [B, T, D] and [B, T]
        return cast(Tensor, self.model(**inputs).logits)

    def from_ids(self, batch: MixBatch) -> Tensor:
        """Compute the logits [B, C] of the left sides, the model's usual way."""
        return cast(Tensor, self.model(**usual_inputs(self.model, batch)).logits)

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


def load(
    cache: Cache,
    name: str | None,
    layers: int | Sequence[int] | None,
    seed: int,
    allowed: Collection[str] = (),
    max_length: int | None = None,
) -> Start:
    """Load, check and probe a student; see that it can be saved.

    Args:
        cache: Gives labels, mask rule, tokenizer, examples and, without `name`, the start.
        name: A folder or Hub id; an existing path wins.
        layers: Depth or layers of the cache's starting point; None is the deepest.
        seed: Of the weights that are randomly initialised: the head's.
        allowed: Types of models that may be built beside the tested ones.
        max_length: Tokens of an example, at most; None is the cache's.

    Raises:
        UsageError, ModelError, LabelOrderError, PaddingDependentError, UnsafeFileError, DataError.
    """
    files = _files(cache, name, layers)
    labels = Labels(cache.identity.label_names or ("score",), cache.identity.problem_type)
    model = load_student(files, labels, seed, allowed)
    if name is not None:
        check_label_order(files, cache.identity)
    student = Student(model, cache.identity.mixup.mask)
    tokens = model.get_input_embeddings().weight.shape[0]
    tokenizer, examples = tokenizer_and_examples(
        cache, files, name is not None, tokens, model.config.model_type, allowed, max_length
    )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id or 0
    check_ids(
        files.name,
        student.embeddings,
        examples.values(),
        do="use a student of the same vocabulary, or one that is saved with its tokenizer",
    )
    check_vocabulary(files.name, tokenizer, tokens, do="use a student whose tokenizer is its own")
    _probe(files.name, student, examples)
    _check_saving(files.name, model, tokenizer)
    return Start(student, tokenizer, examples, files.sha256())


def _files(cache: Cache, name: str | None, layers: int | Sequence[int] | None) -> ModelFiles:
    """Read the student's files, once."""
    if name is None and not cache.starts:
        raise UsageError(
            "--student",
            expected=f"a model, since {cache.root} holds no starting points",
            found="none",
            do="name one: a Hub id such as distilbert-base-uncased, or a folder",
        )
    if name is None:
        folder = f"student_init/{start_name(cache.start(layers))}"
        return ModelFiles(str(cache.root / folder), cache.student_files(layers))
    checkpoint = locate(name)
    return ModelFiles.read(checkpoint.name, checkpoint.folder)


def check_label_order(files: ModelFiles, identity: Identity) -> None:
    """Refuse a trained head whose columns mean the cache's labels in a different order.

    Raises:
        LabelOrderError: Naming both orders.
    """
    config = files.json(CONFIG)
    trained = "SequenceClassification" in str(config.get("architectures"))
    names = tuple(label_names(config))
    if trained and names != identity.label_names and set(names) == set(identity.label_names):
        raise LabelOrderError(
            files.name,
            expected=f"labels in the cache's order: {', '.join(identity.label_names)}",
            found=", ".join(names),
            do="use a student without a trained head, such as its base model",
        )


def _probe(name: str, student: Student, examples: dict[str, Examples]) -> None:
    """Run the contract's probe, on the split that has the longest example.

    Examples are cut: whether logits depend on padding does not need long ones, whose cost grows
    with their square and is a stranger's choice. Positions are counted instead.
    """

    def on_cpu(forward: Any, batch: MixBatch) -> Logits:
        with torch.inference_mode():
            return to_array(forward(to_tensors(batch, "cpu")))

    split = max(examples.values(), key=lambda split: int(split.lengths.max()))
    longest = int(split.lengths.max())
    positions = position_count(student.model)
    if positions is not None and longest > positions:
        raise ModelError(
            name,
            expected=f"positions for the longest example, {longest} tokens",
            found=positions,
            do="use a student of more positions, or a cache that was built with a smaller "
            "--max-length",
        )
    heads = getattr(student.model.config, "num_attention_heads", 1)
    width = max(1, min(PROBE_TOKENS, math.isqrt(PROBE_SCORES // (PROBE_ROWS * max(1, heads)))))
    probe(
        name,
        cut(split, probe_rows(split), width),
        student.pad_id,
        lambda batch: on_cpu(student.from_ids, batch),
        lambda batch: on_cpu(student, batch),
    )


def cut(examples: Examples, rows: npt.NDArray[np.int64], width: int) -> Examples:
    """Take some rows, and at most `width` tokens of each."""

    def cut_rows(all_rows: Ragged) -> Ragged:
        return Ragged.from_rows(
            [all_rows[row][:width].tolist() for row in rows], all_rows.flat.dtype
        )

    types = examples.token_type_ids
    return Examples(
        input_ids=cut_rows(examples.input_ids),
        token_type_ids=None if types is None else cut_rows(types),
        labels=examples.labels[rows],
    )


def _check_saving(name: str, model: Any, tokenizer: Any) -> None:
    """Save all but the weights, and throw it away: that it cannot be is known before training.

    Raises:
        ModelError: With what the library says.
    """
    message = {
        "expected": "a config and a tokenizer that can be saved",
        "do": "save the student again with save_pretrained, where it was made",
    }
    with scratch_folder() as folder, named_errors(ModelError, name, **message):
        model.save_pretrained(folder, state_dict={})
        tokenizer.save_pretrained(folder)
