"""Teacher and student on a card that is not there: fake tensors refuse to meet across devices.

A fake tensor has a shape, a number format and a device, and no numbers. An operation with tensors
of two devices raises, and so does reading a number on the host, for which a card would have to be
waited for. Number formats are mixed on the CPU, with numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensor,
    FakeTensorDeviceMismatchError,
    FakeTensorMode,
)

from mixkd.shared.examples import Examples
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.shared.mixup import MASK_RULES, MaskRule
from mixkd.shared.models.locate import locate
from mixkd.shared.options import DTYPES, Dtype
from mixkd.shared.training import parameter_groups
from mixkd.student_train import validate
from mixkd.student_train.batches import Batch
from mixkd.student_train.objective.terms import PRESETS, Objective
from mixkd.student_train.student import Student
from mixkd.student_train.train import forward
from mixkd.student_train.validate import Validator
from mixkd.teacher_cache import teacher as teacher_module
from mixkd.teacher_cache import training
from mixkd.teacher_cache.teacher import Teacher
from tests.conftest import Tally
from tests.miniature import ENCODERS, tiny_model, tiny_teacher
from tests.numpy_caches import pair_table
from tests.teacher_cache.loaded import load, some_examples

# A torch without CUDA cannot index tensors that say "cuda"; any device but the CPU shows the same.
CARD = torch.device("cuda" if torch.backends.cuda.is_built() else "meta", 0)
LEFT, RIGHT, LAM = [0, 1, 2, 3, 3, 0], [2, 0, 2, 1, 0, 3], [0.9, 0.25, 1.0, 0.5, 0.499, 0.1]


def to_host(logits: torch.Tensor) -> np.ndarray[Any, Any]:
    """Take logits from the card: in place of numbers, zeros."""
    assert isinstance(logits, FakeTensor)
    assert logits.device == CARD
    return np.zeros(tuple(logits.shape), np.float32)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
    """Within it, whatever is computed is fake."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch, "autocast", lambda *args, **more: nullcontext())
    monkeypatch.setattr(teacher_module, "to_array", to_host)
    monkeypatch.setattr(validate, "to_array", to_host)
    # What is made of an array is real, on the CPU, until it is moved.
    return FakeTensorMode(allow_non_fake_inputs=True)


def moved(model: Any) -> Any:
    """Put on the card what `model.to` moves and nothing else: parameters and buffers.

    torch cannot exchange real ones for fake ones itself.
    """
    for module in model.modules():
        for name, values in module._parameters.items():
            if values is not None:
                module._parameters[name] = torch.nn.Parameter(torch.empty_like(values, device=CARD))
        for name, values in module._buffers.items():
            if values is not None:
                module._buffers[name] = torch.empty_like(values, device=CARD)
    return model


@pytest.fixture(scope="session")
def examples_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Examples]:
    """Four examples in the ids of a family's tokenizer."""
    root = tmp_path_factory.mktemp("families")

    def examples(family: str) -> Examples:
        return some_examples(locate(str(tiny_teacher(root / family, family))))

    return functools.cache(examples)


def teacher_of(model: Any, mask: MaskRule = "union") -> Teacher:
    """Make a teacher as its loader does, with a model that moves to the card."""
    model.to = lambda device: moved(model)
    return Teacher.of("it", model, (0, 1), mask, 0, 64, CARD)


@pytest.mark.parametrize("family", ENCODERS)
def test_a_teacher_scores_on_one_device(
    family: str, examples_of: Callable[[str], Examples], card: FakeTensorMode, tally: Tally
) -> None:
    examples, model = examples_of(family), tiny_model(family)
    with card:
        for mask in MASK_RULES:
            teacher = teacher_of(model, mask)
            teacher.probe(examples)  # from ids and from mixes
            mixes = examples.mixes(pair_table(LEFT, RIGHT, LAM), teacher.pad_id)
            assert teacher.score(mixes).shape == (6, 2)
            tally("simulated GPU checks", 1)


def step_of(examples: Examples, pad_id: int) -> Batch:
    """Four originals and six mixes of them."""
    pairs = pair_table([0, 1, 2, 3, *LEFT], [0, 1, 2, 3, *RIGHT], [1.0] * 4 + LAM)
    zeros = np.zeros((10, 2), np.float32)
    parts: dict[Any, int] = {"originals": 4, "mixes": 6}
    labelled = np.arange(10) % 2 == 0
    some: dict[Any, int] = {"originals": 2, "mixes": 3}
    return Batch(examples.mixes(pairs, pad_id), zeros, labelled, zeros, parts, parts, some)


@pytest.mark.parametrize("family", ENCODERS)
def test_a_student_learns_on_one_device_without_waiting(
    family: str, examples_of: Callable[[str], Examples], card: FakeTensorMode, tally: Tally
) -> None:
    student = Student(tiny_model(family).train(), "union")
    batch = step_of(examples_of(family), student.pad_id)
    objective = Objective(PRESETS["mixkd"])
    with card:
        moved(student)
        optimizer = torch.optim.AdamW(parameter_groups(student, 0.01), lr=1e-3)
        for _ in range(2):  # the second step has a state to go on from
            parts = forward(student, batch, CARD)
            loss = objective.weighted(objective(parts, batch.counts, batch.labelled_counts))
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    assert loss.device == CARD
    tally("simulated GPU checks", 1)


def test_a_student_is_validated_on_one_device(
    examples_of: Callable[[str], Examples], card: FakeTensorMode, tally: Tally
) -> None:
    examples, student = examples_of("bert"), Student(tiny_model("bert"), "union")
    accelerator: Any = SimpleNamespace(
        device=CARD,
        autocast=nullcontext,
        process_index=0,
        num_processes=1,
        reduce=lambda values, how: values,
    )
    logits = {"validation": np.zeros((4, 2), np.float32)}
    validator = Validator(student, {"validation": examples}, logits, CLASSIFICATION, 64)
    with card:
        moved(student)
        found = validator(accelerator, student)
    assert "accuracy" in found["validation"]
    tally("simulated GPU checks", 1)


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert"])
def test_a_teacher_is_tuned_on_one_device_without_waiting(
    family: str, examples_of: Callable[[str], Examples], card: FakeTensorMode, tally: Tally
) -> None:
    examples, model = examples_of(family), tiny_model(family)
    with card:
        teacher = teacher_of(model)
        teacher.model.train()
        loss = training._loss(teacher, examples, np.arange(4), CLASSIFICATION, "float32")
        loss.backward()  # type: ignore[no-untyped-call]
    assert loss.device == CARD
    tally("simulated GPU checks", 1)


def test_what_the_simulation_refuses(card: FakeTensorMode) -> None:
    with card:
        there = torch.empty(2, device=CARD)
        with pytest.raises(FakeTensorDeviceMismatchError):
            there + torch.empty(2)
        with pytest.raises(DataDependentOutputException):
            float(there.sum())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", ENCODERS)
def test_formats_are_never_mixed(family: str, dtype: Dtype, tmp_path: Path, tally: Tally) -> None:
    checkpoint = locate(str(tiny_teacher(tmp_path / family, family)))
    examples = some_examples(checkpoint)
    teacher = load(checkpoint)
    mixes = examples.mixes(pair_table(LEFT, RIGHT, LAM), teacher.pad_id)
    full = teacher.score(mixes)
    assert teacher.choose_dtype(dtype, mixes) < 0.5
    np.testing.assert_allclose(teacher.score(mixes), full, atol=0.5)
    tally("simulated GPU checks", 1)
