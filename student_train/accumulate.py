"""Gradient accumulation: a step's rows in parts, whose losses add up to that of the whole step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from mixkd.shared.arrays import Indices
from mixkd.shared.mixup import MixBatch
from mixkd.student_train.batches import Batch
from mixkd.student_train.objective.terms import Part


def micro_batches(batch: Batch, count: int) -> Iterator[Batch]:
    """Cut a batch into up to `count` parts of originals and mixes, none of them empty.

    `counts`, which the losses are divided by, stay those of the whole step.
    """
    originals, mixes = batch.rows["originals"], batch.rows["mixes"]
    if count == 1 or originals + mixes <= 1:
        yield batch
        return
    # The larger parts of originals meet the smaller ones of mixes.
    of_mixes = np.array_split(np.arange(originals, originals + mixes), count)[::-1]
    for left, right in zip(np.array_split(np.arange(originals), count), of_mixes, strict=True):
        rows = np.concatenate([left, right])
        if not len(rows):
            continue
        cut = {
            field.name: value[rows]
            for field in fields(batch)
            if isinstance(value := getattr(batch, field.name), np.ndarray)
        }
        of_part: dict[Part, int] = {"originals": len(left), "mixes": len(right)}
        yield replace(batch, inputs=_take(batch.inputs, rows), rows=of_part, **cut)


def _take(inputs: MixBatch, rows: Indices) -> MixBatch:
    def take(array: Any) -> Any:
        return array[rows]

    return inputs.map(take)
