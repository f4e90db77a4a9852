"""Loaded miniature teachers and examples for them, as the build gets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.mixup import MaskRule
from mixkd.shared.models.locate import Checkpoint, locate
from mixkd.shared.models.tokenizer import load_tokenizer
from mixkd.teacher_cache.teacher import Teacher
from tests.miniature import tiny_teacher

TEXTS = (
    ("was", "odd"),
    ("a dull film", "the actor seems warm and never cold"),
    ("the bright story of that song and this very odd plot", "is it"),
    ("rather loud", "quiet, sharp and almost once more about two of the three actors"),
)


def some_examples(checkpoint: Checkpoint) -> Examples:
    """Four pairs of texts of different lengths, in the ids of the checkpoint's tokenizer."""
    encoded = load_tokenizer(checkpoint)(*map(list, zip(*TEXTS, strict=True)))
    types = encoded.get("token_type_ids")
    return Examples(
        input_ids=Ragged.from_rows(encoded["input_ids"], np.int32),
        token_type_ids=None if types is None else Ragged.from_rows(types, np.int8),
        labels=np.zeros(len(TEXTS), np.int64),
    )


def load(
    checkpoint: Checkpoint,
    columns: tuple[int, ...] = (0, 1),
    mask: MaskRule = "union",
    max_length: int = 64,
) -> Teacher:
    return Teacher.load(checkpoint, columns, mask=mask, max_length=max_length, device="cpu")


def saved(folder: Path, family: str = "bert", layers: int = 2) -> Checkpoint:
    """A random teacher of `family`, saved into `folder` and located there."""
    return locate(str(tiny_teacher(folder / family, family, layers=layers)))
