"""A device that holds so many tokens and no more: the advice of its errors leads to an end."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification

from mixkd.shared.errors import DeviceMemoryError
from mixkd.teacher_cache import training
from mixkd.teacher_cache.finetune import FinetuneOptions, finetune
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache
from mixkd.teacher_cache.verify import verify_claims
from tests import miniature
from tests.conftest import Tally

CAPACITY = 200  # tokens in a batch


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is full beyond `CAPACITY` tokens."""
    forward = BertForSequenceClassification.forward

    def limited(self: Any, *args: Any, attention_mask: torch.Tensor, **inputs: Any) -> Any:
        if attention_mask.numel() > CAPACITY:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return forward(self, *args, attention_mask=attention_mask, **inputs)

    # The signature is what says which inputs the model takes.
    limited.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(BertForSequenceClassification, "forward", limited)


def test_a_build_fits_after_its_advice(
    tmp_path: Path, data: Path, good_teacher: Path, small: None, tally: Tally
) -> None:
    batch_tokens = None
    for _attempt in range(8):
        options = BuildOptions(
            task="mood",
            pairs=64,
            data=str(data),
            teacher=str(good_teacher),
            out=tmp_path / "cache",
            device="cpu",
            dtype="bfloat16",
            batch_tokens=batch_tokens,
        )
        try:
            built = build_cache(options)
            break
        except DeviceMemoryError as error:
            advised = re.search(r"try --batch-tokens (\d+)$", str(error))
            assert advised
            assert batch_tokens is None or int(advised[1]) < batch_tokens
            batch_tokens = int(advised[1])
    assert batch_tokens is not None
    assert built is not None and built.cache.to_json()["pairs"] == 64
    tally("simulated GPU checks", 1)


def test_verify_proposes_no_option_that_it_has_not(
    tmp_path: Path, data: Path, good_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cache"
    options = BuildOptions(
        task="mood", pairs=64, data=str(data), teacher=str(good_teacher), out=root, device="cpu"
    )
    build_cache(options)

    def full(self: Any, **inputs: Any) -> Any:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(BertForSequenceClassification, "forward", full)
    with pytest.raises(DeviceMemoryError, match="tokens, found out of memory") as caught:
        verify_claims(root, teacher=str(good_teacher), rows=16, device="cpu")
    assert "--" not in caught.value.do


@pytest.mark.parametrize(
    ("batch_size", "advice"), [(32, r"try --batch-size (8|16)$"), (1, "a shorter --max-length$")]
)
def test_finetune_proposes_a_batch_that_is_smaller(
    batch_size: int, advice: str, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> torch.Tensor:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")

    monkeypatch.setattr(training, "_loss", full)
    encoder = miniature.tiny_teacher(tmp_path / "encoder", head=False)
    options = FinetuneOptions(
        task="mood",
        data=str(data),
        model=str(encoder),
        out=tmp_path / "teacher",
        batch_size=batch_size,
        max_length=32,
        device="cpu",
    )
    with pytest.raises(DeviceMemoryError, match=advice):
        finetune(options)
