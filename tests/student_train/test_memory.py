"""Memory that is full has a named error, whose advice is an option of this command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from mixkd.shared.errors import DeviceMemoryError
from mixkd.student_train.student import Student
from mixkd.student_train.train import train
from tests.student_train.test_train import options

FULL = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] not enough memory: you tried to allocate"),
    MemoryError(),
)


@pytest.mark.parametrize("error", FULL, ids=["cuda", "cpu", "python"])
def test_in_a_step(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(loss: torch.Tensor, **more: Any) -> None:
        raise error

    monkeypatch.setattr(torch.Tensor, "backward", full)
    expected = (
        r"cpu: expected room for a step of 16 x \d+ tokens, found out of memory; use --batch-"
    )
    expected += "size 4 with a new --out, .*; or go on with --gradient-accumulation 2 --resume"
    with pytest.raises(DeviceMemoryError, match=expected):
        train(options(cache, tmp_path / "student"))
    with pytest.raises(DeviceMemoryError, match="; use a machine with more memory, or a smaller"):
        train(options(cache, tmp_path / "student", batch_size=1))


@pytest.mark.parametrize(("batch_size", "rows", "advice"), [(32, 20, 16), (8, 16, 4), (2, 4, 1)])
def test_in_validation(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    rows: int,
    advice: int,
) -> None:
    """It scores no more rows at once than a step has, so that the advice helps there too."""
    real = Student.from_ids

    def full(self: Student, batch: Any) -> torch.Tensor:
        if not self.training and torch.is_inference_mode_enabled() and trained:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch)

    trained: list[int] = []
    monkeypatch.setattr(Student, "from_ids", full)
    expected = rf"room for {rows} x \d+ tokens of validation, .* use --batch-size {advice} with"
    with pytest.raises(DeviceMemoryError, match=expected):
        train(
            options(cache, tmp_path / "student", batch_size=batch_size, epochs=1),
            lambda step, losses: trained.append(step),
        )


def test_where_a_run_goes_on(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint is whole: nobody is told to remove it."""

    def full(*args: Any, **more: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def stop(step: int, losses: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "student"
    with pytest.raises(KeyboardInterrupt):
        train(options(cache, out, checkpoint_steps=2, log_steps=3), stop)
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "load_state_dict", full)
        with pytest.raises(DeviceMemoryError, match="the student and its optimizer, found out of"):
            train(options(cache, out, resume=True))
        patch.setattr(Accelerator, "prepare", full)
        with pytest.raises(DeviceMemoryError, match="the student and its optimizer, found out of"):
            train(options(cache, tmp_path / "other"))
    train(options(cache, out, resume=True))


def test_other_errors_stay_what_they_are(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that says "write" is not about the disk, as it once was taken to be."""

    def fail(self: torch.Tensor, **more: Any) -> None:
        raise RuntimeError("a view of a leaf Variable: unsupported write operation")

    monkeypatch.setattr(torch.Tensor, "backward", fail)
    with pytest.raises(RuntimeError, match="unsupported write operation"):
        train(options(cache, tmp_path / "student"))
