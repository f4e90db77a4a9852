"""The mix: embeddings in, mixed embeddings out. Teacher and student both call `mixed_inputs`.

Following MixKD (Liang et al., ICLR 2021, arXiv 2011.00593), two examples are interpolated where a
model looks up its input embeddings. The functions work on whatever tensors are handed in (torch on
any device, or NumPy in tests); nothing here imports torch.

Shapes: B mixes in a batch, T positions after right padding, D the model's embedding width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

MaskRule = Literal["union", "heavier"]
MASK_RULES: tuple[MaskRule, ...] = ("union", "heavier")


@dataclass(frozen=True, slots=True)
class MixBatch:
    """B mixes, both sides padded on the right to one T. An original is the mix (i, i, 1).

    Attributes:
        left_ids, right_ids: int64 [B, T], padded with the model's pad id.
        left_types, right_types: int64 [B, T], padded with 0; None where the tokenizer gives none.
        left_mask, right_mask: int64 [B, T], 1 for tokens and 0 for padding.
        lam: float32 [B], the weight of the left side.
    """

    left_ids: Any
    right_ids: Any
    left_types: Any
    right_types: Any
    left_mask: Any
    right_mask: Any
    lam: Any

    def map(self, convert: Callable[[Any], Any]) -> MixBatch:
        """Apply `convert` to each array, such as a move to a device."""
        values = (getattr(self, field.name) for field in fields(self))
        return MixBatch(*(None if value is None else convert(value) for value in values))


@dataclass(frozen=True, slots=True)
class InputEmbeddings:
    """A model's own lookup: ids [B, T], types [B, T] -> embeddings [B, T, D], float32.

    A model that adds token types itself adds type 0 when it is given none, so type 0 is taken off
    here and the model puts it back.
    """

    word: Callable[[Any], Any]
    token_type: Any

    @classmethod
    def of(cls, model: Any) -> InputEmbeddings:
        """Find the tables of a `transformers` model by the names that all its families share."""
        tables = [
            module
            for name, module in model.named_modules()
            if name.endswith("token_type_embeddings") and hasattr(module, "weight")
        ]
        return cls(word=model.get_input_embeddings(), token_type=tables[0] if tables else None)

    def __call__(self, ids: Any, types: Any) -> Any:
        embedded = self.word(ids)
        if self.token_type is None or types is None:
            return embedded
        return embedded + self.token_type(types) - self.token_type.weight[0]


def mix(left: Any, right: Any, lam: Any) -> Any:
    """Compute `lam * left + (1 - lam) * right`, lam [B] broadcast over the other dimensions."""
    lam = lam.reshape((-1,) + (1,) * (left.ndim - 1))
    return lam * left + (1 - lam) * right


def mixed_mask(left_mask: Any, right_mask: Any, lam: Any, rule: MaskRule) -> Any:
    """Mix masks [B, T]: either side's tokens, or those of the heavier side (ties: left)."""
    if rule == "union":
        return left_mask | right_mask
    left_is_heavier = (lam >= 0.5).reshape((-1, 1))
    return left_mask * left_is_heavier + right_mask * ~left_is_heavier


def mixed_inputs(embeddings: InputEmbeddings, batch: MixBatch, rule: MaskRule) -> dict[str, Any]:
    """Make a model's inputs: `inputs_embeds` float32 [B, T, D], `attention_mask` [B, T]."""
    left = embeddings(batch.left_ids, batch.left_types)
    right = embeddings(batch.right_ids, batch.right_types)
    return {
        "inputs_embeds": mix(left, right, batch.lam),
        "attention_mask": mixed_mask(batch.left_mask, batch.right_mask, batch.lam, rule),
    }
