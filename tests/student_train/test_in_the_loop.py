"""A student trained from the cache has the loss curve of one trained with the teacher in the loop.

The teacher-in-the-loop version below is written out plainly: it looks embeddings up itself, mixes
them one pair at a time, runs the teacher on them at every step, and has its own losses, schedule
and optimizer. From the package it takes only which rows are in which step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from mixkd.shared import plan
from mixkd.shared.cache.reader import Cache
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.order import Order
from mixkd.student_train.train import train

SEED, EPOCHS, BATCH, RATIO, PEAK = 5, 2, 8, 1.5, 2e-3
ALPHAS = {
    "ft": (1, 0, 0, 0),
    "kd": (1, 0, 0, 1),
    "tmkd": (1, 0, 1, 0),
    "mixkd": (1, 1, 1, 0),
}


def embed(model: Any, ids: Any, types: Any) -> torch.Tensor:
    """[T] ids -> [T, D]: the word, and the type less the type 0 that the model adds itself."""
    tables = model.bert.embeddings
    vectors = tables.word_embeddings(ids)  # the row of the pad id gets no gradient, as usual
    return (
        vectors
        + tables.token_type_embeddings.weight[types]
        - tables.token_type_embeddings.weight[0]
    )


def mix_one(model: Any, left: Any, right: Any, lam: float, width: int) -> torch.Tensor:
    """One mix [T, D]; both sides padded on the right with id 0 and type 0."""
    sides = []
    for ids, types in (left, right):
        padding = width - len(ids)
        padded = torch.tensor([*ids, *[0] * padding], dtype=torch.int64)
        padded_types = torch.tensor([*types, *[0] * padding], dtype=torch.int64)
        sides.append(embed(model, padded, padded_types))
    return lam * sides[0] + (1 - lam) * sides[1]


def visible(left: Any, right: Any, lam: float, width: int, mask: str) -> torch.Tensor:
    tokens = len(left[0]), len(right[0])
    heavier = tokens[0] if lam >= 0.5 else tokens[1]
    return (torch.arange(width) < (max(tokens) if mask == "union" else heavier)).long()


def forward(model: Any, rows: list[tuple[Any, Any, float]], mask: str) -> torch.Tensor:
    """Logits [B, C] of rows (left, right, lam)."""
    width = max(len(side[0]) for left, right, _ in rows for side in (left, right))
    return model(
        inputs_embeds=torch.stack([mix_one(model, *row, width) for row in rows]),
        attention_mask=torch.stack([visible(*row, width, mask) for row in rows]),
    ).logits


def with_teacher_in_the_loop(root: Path, teacher_folder: Path, method: str) -> list[float]:
    from transformers import AutoModelForSequenceClassification

    cache = Cache.open(root)
    examples, identity = cache.examples(), cache.identity
    names = dict(enumerate(identity.label_names)) or {0: "score"}
    labels = {name: number for number, name in names.items()}
    torch.manual_seed(SEED)
    student = AutoModelForSequenceClassification.from_pretrained(
        root / "student_init" / "layers-0", id2label=names, label2id=labels
    )
    teacher = AutoModelForSequenceClassification.from_pretrained(teacher_folder).eval()
    decayed = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0}], lr=PEAK
    )

    def tokens(row: int) -> tuple[list[int], list[int]]:
        types = examples.token_type_ids
        assert types is not None
        return examples.input_ids[row].tolist(), types[row].tolist()

    def target(row: int) -> torch.Tensor:
        if identity.problem_type == "regression":
            return torch.tensor([float(examples.labels[row])])
        return one_hot(torch.tensor(int(examples.labels[row])), len(names)).float()

    shards = tuple((record.start, record.stop) for record in cache.pair_records)
    uses_mixes = ALPHAS[method][1] + ALPHAS[method][2] > 0
    order = Order(len(examples), shards if uses_mixes else (), BATCH, RATIO, SEED)
    steps = EPOCHS * order.steps_per_epoch
    rising = round(0.1 * steps)
    curve: list[float] = []
    torch.manual_seed(SEED)
    student.train()
    for epoch in range(EPOCHS):
        window = order.window(epoch, 0)
        planned = [
            plan.pairs(
                k, k + 1, examples=len(examples), seed=identity.mixup.seed, beta=identity.mixup.beta
            )
            for k in window.pairs.tolist()
        ]
        pairs = [(int(p.left[0]), int(p.right[0]), float(p.lam[0])) for p in planned]
        lengths = examples.lengths
        longer = [max(lengths[left], lengths[right]) for left, right, _ in pairs]
        for originals, mixes in order.batches(
            window, lengths[window.originals], np.array(longer, np.int64)
        ):
            ids = window.originals[originals].tolist()
            triples = [(i, i, 1.0) for i in ids] + [pairs[m] for m in mixes]
            rows = [(tokens(left), tokens(right), lam) for left, right, lam in triples]
            labelled = torch.stack(
                [lam * target(left) + (1 - lam) * target(right) for left, right, lam in triples]
            )
            with torch.no_grad():
                wanted = forward(teacher, rows, identity.mixup.mask)
            logits = forward(student, rows, identity.mixup.mask)
            cut = len(ids)
            fit = mse_loss if identity.problem_type == "regression" else cross_entropy
            mle, sm, tmkd, kd = ALPHAS[method]
            loss = mle * fit(logits[:cut], labelled[:cut])
            if sm:
                loss = loss + sm * fit(logits[cut:], labelled[cut:])
            if tmkd:
                loss = loss + tmkd * mse_loss(logits[cut:], wanted[cut:])
            if kd:
                loss = loss + kd * mse_loss(logits[:cut], wanted[:cut])
            done = len(curve)
            share = (done + 1) / rising if done < rising else (steps - done) / (steps - rising)
            for group in optimizer.param_groups:
                group["lr"] = PEAK * share
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            curve.append(loss.item())
    return curve


def from_the_cache(root: Path, method: str, out: Path) -> list[float]:
    curve: list[float] = []
    train(
        TrainOptions(
            cache=(root,),
            method=method,
            epochs=EPOCHS,
            batch_size=BATCH,
            mix_ratio=RATIO,
            learning_rate=PEAK,
            seed=SEED,
            device="cpu",
            log_steps=1,
            out=out,
        ),
        observe=lambda step, losses: curve.append(losses["loss"]),
    )
    return curve


@pytest.mark.parametrize("method", list(ALPHAS))
def test_same_loss_curve_with_union_masks(
    cache: Path, good_teacher: Path, tmp_path: Path, method: str
) -> None:
    expected = with_teacher_in_the_loop(cache, good_teacher, method)
    found = from_the_cache(cache, method, tmp_path / "student")
    assert len(found) == EPOCHS * 5
    assert found == pytest.approx(expected, rel=1e-5)


def test_same_loss_curve_with_heavier_masks_token_types_and_three_classes(
    pair_cache: Path, good_pair_teacher: Path, tmp_path: Path
) -> None:
    expected = with_teacher_in_the_loop(pair_cache, good_pair_teacher, "mixkd")
    options = TrainOptions(
        cache=(pair_cache,),
        layers=1,
        epochs=EPOCHS,
        batch_size=BATCH,
        mix_ratio=RATIO,
        learning_rate=PEAK,
        seed=SEED,
        device="cpu",
        log_steps=1,
        out=tmp_path / "student",
    )
    found: list[float] = []
    train(options, observe=lambda step, losses: found.append(losses["loss"]))
    assert found == pytest.approx(expected, rel=1e-5)


def test_same_loss_curve_for_regression(
    regression_cache: Path, good_regression_teacher: Path, tmp_path: Path
) -> None:
    expected = with_teacher_in_the_loop(regression_cache, good_regression_teacher, "mixkd")
    found = from_the_cache(regression_cache, "mixkd", tmp_path / "student")
    assert found == pytest.approx(expected, rel=1e-5)
