"""A step in parts is the step: no row is lost, and the gradients are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixkd.shared.cache.reader import Cache
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.student_train.accumulate import micro_batches
from mixkd.student_train.batches import Source, batches
from mixkd.student_train.joined import JoinedPairs
from mixkd.student_train.objective.terms import PRESETS, Objective
from mixkd.student_train.order import Order
from mixkd.student_train.student import load
from mixkd.student_train.train import forward


@pytest.mark.parametrize("count", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("name", "weights"),
    [("cache", PRESETS["mixkd"] | {"kd": 1}), ("few_labels_cache", PRESETS["mixkd"])],
)
def test_the_parts_gradients_add_up_to_the_steps(
    name: str, weights: dict[str, float], count: int, request: pytest.FixtureRequest
) -> None:
    opened = Cache.open(request.getfixturevalue(name))
    start = load(opened, None, None, seed=0)
    student, examples = start.student.eval(), start.examples["train"]
    objective = Objective(weights)
    source = Source(
        *(examples, opened.logits("train"), JoinedPairs([opened]), CLASSIFICATION, 0),
        labels_only=objective.labels_only,
    )
    order = Order(40, source.pairs.shards, batch_size=7, mix_ratio=0.5, seed=1)
    steps = [*batches(source, order, 0, 0, 0, 1)]
    few = [step for step in steps if step.labelled_counts["originals"]]
    for batch in (few[0], steps[-1]):
        parts = list(micro_batches(batch, count))
        assert 1 <= len(parts) <= count
        assert np.concatenate([part.targets for part in parts]).sum() == pytest.approx(
            batch.targets.sum()
        )
        found = []
        for step in ([batch], parts):
            student.zero_grad()
            losses = 0.0
            for part in step:
                assert sum(part.rows.values()) == len(part.targets) == len(part.inputs.left_ids) > 0
                logits = forward(student, part, torch.device("cpu"))
                loss = objective.weighted(objective(logits, part.counts, part.labelled_counts))
                loss.backward()
                losses += loss.item()
            found.append(
                (losses, student.model.bert.embeddings.word_embeddings.weight.grad.clone())
            )
        (whole, gradient), (added, together) = found
        assert added == pytest.approx(whole, rel=1e-5)
        assert torch.allclose(together, gradient, atol=1e-6)
