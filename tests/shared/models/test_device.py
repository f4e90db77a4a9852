"""Which device is chosen, that it computes, its formats, and what a full memory is called."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mixkd.shared.errors import DeviceError, DeviceMemoryError, UsageError
from mixkd.shared.models.device import (
    elsewhere,
    memory_for,
    native_format,
    natively_bfloat16,
    resolve_device,
)
from tests.cards import cards
from tests.conftest import Tally

CARD = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("count", "mps", "local_rank", "name", "chosen"),
    [
        (0, False, None, "auto", "cpu"),
        (0, True, None, "auto", "mps"),
        (0, True, None, "mps", "mps"),
        (0, True, None, "cpu", "cpu"),
        (1, True, None, "auto", "cuda:0"),
        (4, False, None, "auto", "cuda:0"),
        (4, False, "3", "auto", "cuda:3"),
        (2, False, "3", "auto", "cuda:1"),
        (4, False, "3", "cuda", "cuda:3"),
        (4, False, "3", "cuda:1", "cuda:1"),
        (4, False, "-1", "auto", "cuda:0"),
        (4, False, "many", "auto", "cuda:0"),
        (0, False, "3", "auto", "cpu"),
    ],
)
def test_the_device_of_a_process(
    count: int,
    mps: bool,
    local_rank: str | None,
    name: str,
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
) -> None:
    cards(monkeypatch, count, mps=mps)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    assert str(resolve_device(name)) == chosen
    tally("simulated GPU checks", 1)


@pytest.mark.parametrize("name", ["cuda:2", "mps", "meta", "abacus", "cuda:-1", ""])
def test_a_device_that_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 2)
    with pytest.raises(UsageError, match=rf"--device: .*found {name}, .* with 2 CUDA devices"):
        resolve_device(name)


def test_no_cuda_device_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 0, mps=True)
    with pytest.raises(UsageError, match="found cuda, on a machine with 0 CUDA devices and MPS"):
        resolve_device("cuda")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "CUDA error: no kernel image is available for execution on the device\nCUDA kernel "
            "errors might be asynchronously reported at some other API call"
        ),
        RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`"),
        AssertionError("Torch not compiled with CUDA enabled"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_a_card_that_cannot_compute_is_named(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    def refuse(*shape: int, **more: Any) -> torch.Tensor:
        raise error

    cards(monkeypatch, 1, ones=refuse)
    first = str(error).splitlines()[0]
    with pytest.raises(DeviceError, match="cuda:0: expected a device that multiplies") as caught:
        resolve_device("auto")
    assert first in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "--device cpu" in str(caught.value)
    tally("simulated GPU checks", 1)


def test_a_card_that_computes_nonsense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 1, ones=lambda *shape, **more: torch.full(shape, 2.0))
    with pytest.raises(DeviceError, match="found 2048 in place of 512"):
        resolve_device("cuda")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((6, 1), "float32"),
        ((7, 0), "float16"),
        ((7, 5), "float16"),
        ((8, 0), "bfloat16"),
        ((12, 0), "bfloat16"),
    ],
)
def test_formats_of_cards(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    cards(monkeypatch, 1, capability)
    assert native_format(CARD) == expected
    assert natively_bfloat16(CARD) == (expected == "bfloat16")
    tally("simulated GPU checks", 1)


def test_formats_of_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for capabilities in ({"avx512_bf16": False}, {"avx512_f": True}, {}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert native_format(cpu) == "float32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert native_format(cpu) == "bfloat16"
    assert native_format(torch.device("mps")) == "float32"


FULL: list[Exception] = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.01 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:50])
def test_a_full_memory_is_named(error: Exception, tally: Tally) -> None:
    with (
        pytest.raises(DeviceMemoryError, match=r"cuda:0: expected room for it.*memory; sleep$"),
        memory_for("it", CARD, "sleep"),
    ):
        raise error
    tally("simulated GPU checks", 1)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
        IndexError("index out of range in self"),
    ],
    ids=str,
)
def test_other_errors_are_not_called_memory(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), memory_for("it", CARD, "sleep"):
        raise error


def test_the_advice_is_not_the_device_that_is_full() -> None:
    assert "--device cpu" in elsewhere(CARD)
    assert "--device" not in elsewhere(torch.device("cpu"))
