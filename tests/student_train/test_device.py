"""Where a student is trained and in which format, as accelerate takes it up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import accelerate
import accelerate.state
import pytest
import torch
from accelerate.state import AcceleratorState

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DeviceError, ModelError, UsageError
from mixkd.shared.models.kernels import float32_precision
from mixkd.student_train import device
from mixkd.student_train.device import make_accelerator
from mixkd.student_train.options import DType, TrainOptions
from mixkd.student_train.student import load
from tests.cards import cards
from tests.conftest import Tally
from tests.miniature import tiny_model, tiny_tokenizer


def options(**changes: Any) -> TrainOptions:
    return TrainOptions(cache="cache", **changes)


@pytest.fixture(autouse=True)
def forgotten() -> Any:
    """Accelerate keeps its first device for the process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_a_mac_trains_on_its_gpu_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    cards(monkeypatch, 0, mps=True)
    monkeypatch.setattr(accelerate.state, "is_mps_available", lambda: True)
    for name in ("auto", "mps"):
        accelerator = make_accelerator(options(out=tmp_path, device=name))
        assert accelerator.device.type == "mps"
        assert accelerator.mixed_precision == "no"
    assert make_accelerator(options(out=tmp_path, device="cpu")).device.type == "cpu"
    tally("simulated GPU checks", 2)


@pytest.mark.parametrize(
    ("capability", "dtype", "chosen"),
    [
        ((9, 0), "auto", "bf16"),
        ((7, 5), "auto", "no"),  # float16 would need its gradients scaled: only where asked for
        ((7, 5), "float16", "fp16"),
        ((9, 0), "float32", "no"),
    ],
)
def test_the_format_on_a_card(
    capability: tuple[int, int],
    dtype: DType,
    chosen: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
) -> None:
    cards(monkeypatch, 1, capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *args, **more: True)
    accelerator = make_accelerator(options(out=tmp_path, dtype=dtype))
    assert accelerator.device.type == "cuda"
    assert accelerator.mixed_precision == chosen
    tally("simulated GPU checks", 1)


def test_what_accelerate_turns_on_is_off_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    def with_tf32(**settings: Any) -> Any:
        torch.backends.cuda.matmul.allow_tf32 = True
        return accelerate.Accelerator(**settings)

    monkeypatch.setattr(device, "Accelerator", with_tf32)
    make_accelerator(options(out=tmp_path, device="cpu"))
    assert float32_precision()["cuda matmul"] == "ieee"
    tally("simulated GPU checks", 1)


def test_float16_on_a_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--dtype: expected float32 or bfloat16 on a CPU"):
        make_accelerator(options(out=tmp_path, device="cpu", dtype="float16"))


def test_a_card_that_cannot_compute_ends_the_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*shape: int, **more: Any) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    cards(monkeypatch, 1, ones=refuse)
    with pytest.raises(DeviceError, match="no kernel image"):
        make_accelerator(options(out=tmp_path))


def test_token_types_beyond_a_students_table_never_reach_a_card(
    pair_cache: Path, tmp_path: Path
) -> None:
    """There, they would end the process with an assertion of the device."""
    folder = tmp_path / "one-type"
    model = tiny_model(labels=("dull", "bright", "odd"))
    table = model.bert.embeddings.token_type_embeddings
    table.weight = torch.nn.Parameter(table.weight[:1].clone())
    model.config.type_vocab_size = 1
    model.save_pretrained(folder)
    tiny_tokenizer(folder)
    with pytest.raises(ModelError, match=r"token types below 1, the size .*found 1"):
        load(Cache.open(pair_cache), str(folder), None, seed=0)
