"""The student: loaded from the cache or by name, probed, and run on mixes of its own embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from mixkd.shared.arrays import Logits
from mixkd.shared.cache.header import Identity
from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import LabelOrderError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import InputEmbeddings, MaskRule, MixBatch, mixed_inputs
from mixkd.shared.models.checkpoint import CONFIG, checkpoint_sha256, label_names, read_json
from mixkd.shared.models.loading import Labels, load_classifier
from mixkd.shared.models.locate import Checkpoint, Trust, locate
from mixkd.shared.models.model import check_ids, to_array, to_tensors, usual_inputs
from mixkd.shared.models.probe import probe
from mixkd.shared.models.tokenizer import check_vocabulary
from mixkd.student_train.encode import tokenizer_and_examples


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


def load(cache: Cache, name: str | None, layers: int | None, seed: int) -> Start:
    """Load, check and probe a student.

    Args:
        cache: Gives labels, mask rule, tokenizer, examples and, without `name`, the start.
        name: A folder or Hub id; an existing path wins.
        layers: Depth of the cache's starting point; None is the deepest.
        seed: Of the weights that are randomly initialised: the head's.

    Raises:
        UsageError, ModelError, LabelOrderError, PaddingDependentError, UnsafeFileError, DataError.
    """
    if name is None:
        checkpoint = Checkpoint.of_folder(cache.student_folder(layers), Trust.STRANGER)
    else:
        checkpoint = locate(name, Trust.STRANGER)
    folder = checkpoint.folder
    labels = Labels(cache.identity.label_names or ("score",), cache.identity.problem_type)
    model, _ = load_classifier(checkpoint, labels, seed)
    if name is not None:
        check_label_order(checkpoint, cache.identity)
    student = Student(model, cache.identity.mixup.mask)
    tokens = model.get_input_embeddings().weight.shape[0]
    tokenizer, examples = tokenizer_and_examples(cache, checkpoint, name is not None, tokens)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id or 0
    check_ids(
        folder,
        student.embeddings,
        examples.values(),
        do="use a student of the same vocabulary, or one that is saved with its tokenizer",
    )
    check_vocabulary(folder, tokenizer, tokens, do="use a student whose tokenizer is its own")
    _probe(checkpoint.name, student, examples)
    return Start(student, tokenizer, examples, checkpoint_sha256(checkpoint))


def check_label_order(checkpoint: Checkpoint, identity: Identity) -> None:
    """Refuse a trained head whose columns mean the cache's labels in a different order.

    Raises:
        LabelOrderError: Naming both orders.
    """
    config = read_json(checkpoint.folder / CONFIG, checkpoint.trust)
    trained = "SequenceClassification" in str(config.get("architectures"))
    names = tuple(label_names(config))
    if trained and names != identity.label_names and set(names) == set(identity.label_names):
        raise LabelOrderError(
            checkpoint.name,
            expected=f"labels in the cache's order: {', '.join(identity.label_names)}",
            found=", ".join(names),
            do="use a student without a trained head, such as its base model",
        )


def _probe(name: str, student: Student, examples: dict[str, Examples]) -> None:
    """Run the contract's probe, on the split that has the longest example."""

    def on_cpu(forward: Any, batch: MixBatch) -> Logits:
        with torch.inference_mode():
            return to_array(forward(to_tensors(batch, "cpu")))

    split = max(examples.values(), key=lambda split: int(split.lengths.max()))
    probe(
        name,
        split,
        student.pad_id,
        lambda batch: on_cpu(student.from_ids, batch),
        lambda batch: on_cpu(student, batch),
    )
