"""Ready batches: those of the training loop, in a plain loop, a DataLoader and a Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

from mixkd.shared.cache.reader import Cache
from mixkd.student_train.batches import batches
from mixkd.student_train.student import load
from mixkd.student_train.torch_data import Batches, collate, mix_inputs
from mixkd.student_train.train import forward

KEYS = {
    *("left_ids", "right_ids", "left_mask", "right_mask", "lam"),
    *("targets", "labelled", "teacher_logits"),
}


def student(cache: Path) -> Any:
    return load(Cache.open(cache), None, None, seed=0).student.model.train()


def data(cache: Path, model: Any, **changes: Any) -> Batches:
    return Batches(cache, batch_size=8, pad_id=model.config.pad_token_id, **changes)


@pytest.mark.parametrize("name", ["cache", "pair_cache", "regression_cache"])
def test_the_logits_of_a_batch_are_those_of_the_training_loop(
    name: str, request: pytest.FixtureRequest
) -> None:
    root: Path = request.getfixturevalue(name)
    started = load(Cache.open(root), None, None, seed=0).student.eval()
    ready = data(root, started.model, mix_ratio=1.5, epochs=2)
    own = [b for epoch in (0, 1) for b in batches(ready.source, ready.order, epoch, 0, 0, 1)]
    found = list(ready)
    assert len(found) == len(own) == len(ready) == 10
    for batch, expected in zip(found, own, strict=True):
        assert KEYS <= batch.keys() <= KEYS | {"left_types", "right_types"}
        with torch.no_grad():
            parts = forward(started, expected, torch.device("cpu"))
            logits = started.model(**mix_inputs(started.model, batch, ready.mask_rule)).logits
        for values, field in ((logits, "student"), (batch["teacher_logits"], "teacher")):
            whole = torch.cat([getattr(parts[part], field) for part in ("originals", "mixes")])
            assert torch.equal(values, whole)
        assert batch["lam"].dtype == batch["targets"].dtype == torch.float32
        assert batch["left_ids"].dtype == batch["right_mask"].dtype == torch.int64


def test_processes_and_workers_share_the_batches(cache: Path) -> None:
    model = student(cache)
    whole = list(data(cache, model))
    parts = [list(data(cache, model, rank=rank, world=2)) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        rows = torch.cat([part[step]["teacher_logits"] for part in parts])
        assert len(rows) == len(batch["teacher_logits"])
        assert rows.sum() == pytest.approx(batch["teacher_logits"].sum().item(), abs=1e-4)
    for workers in (0, 2):
        loader = DataLoader(data(cache, model), batch_size=None, num_workers=workers)
        assert len(loader) == 5
        for batch, expected in zip(loader, whole, strict=True):
            assert torch.equal(batch["left_ids"], expected["left_ids"])


def test_no_mixes_read_no_pairs_and_caches_are_averaged(cache: Path) -> None:
    model = student(cache)
    opened = Cache.open(cache)
    (batch, *_) = Batches([opened, opened], batch_size=40, pad_id=0, mix_ratio=0)
    assert (batch["lam"] == 1).all() and len(batch["lam"]) == 40
    stored = opened.logits("train").sum(axis=0)
    assert np.allclose(batch["teacher_logits"].sum(dim=0).numpy(), stored, atol=1e-3)
    assert len(data(cache, model, mix_ratio=0)) == 5


def test_a_plain_loop(pair_cache: Path) -> None:
    model = student(pair_cache)
    losses = []

    ready = data(pair_cache, model, epochs=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for batch in ready:
        logits = model(**mix_inputs(model, batch, ready.mask_rule)).logits
        loss = mse_loss(logits, batch["teacher_logits"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_a_trainer(pair_cache: Path, tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    model = student(pair_cache)
    ready = data(pair_cache, model, epochs=8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    class Distiller(Trainer):
        def compute_loss(self, model: Any, inputs: Any, **more: Any) -> Any:
            logits = model(**mix_inputs(model, inputs, ready.mask_rule)).logits
            return mse_loss(logits, inputs["teacher_logits"])

    arguments = TrainingArguments(
        str(tmp_path),
        per_device_train_batch_size=1,
        remove_unused_columns=False,
        num_train_epochs=1,
        learning_rate=1e-3,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=5,
    )
    trainer = Distiller(model, arguments, train_dataset=ready, data_collator=collate)
    trainer.train()

    assert trainer.state.global_step == len(ready) == 40
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    assert any(not torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
