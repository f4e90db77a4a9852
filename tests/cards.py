"""CUDA and MPS devices that are not there: what torch reports of them, and what a card does.

cards(monkeypatch, count=2, capability=(9, 0))      # torch sees two cards that compute
with Tf32Card(): ...                                # products round as torch's switches say
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mixkd.shared.models.kernels import float32_precision

aten = torch.ops.aten
PRODUCTS = {op.default for op in (aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.linear)}
Product = Callable[..., torch.Tensor]


def cards(
    monkeypatch: pytest.MonkeyPatch,
    count: int = 1,
    capability: tuple[int, int] = (9, 0),
    *,
    mps: bool = False,
    ones: Product | None = None,
) -> None:
    """Let torch report these devices.

    Args:
        ones: In place of `torch.ones` on such a device; a card that cannot compute raises.
    """
    real = torch.ones

    def on_a_card(*shape: Any, device: Any = None, **more: Any) -> torch.Tensor:
        if ones and torch.device(device or "cpu").type != "cpu":
            return ones(*shape, device=device, **more)
        return real(*shape, **more)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch, "ones", on_a_card)


class Tf32Card(TorchDispatchMode):
    """Multiplies as a card with TensorFloat-32 does where torch's switches say so: with factors
    rounded to 10 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.rounded = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in PRODUCTS and float32_precision()["cuda matmul"] == "tf32":
            self.rounded += 1
            args = [_rounded(value) if isinstance(value, torch.Tensor) else value for value in args]
        return function(*args, **(kwargs or {}))


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Round float32 to 10 bits of mantissa, halves upwards."""
    if values.dtype != torch.float32:
        return values
    bits = values.contiguous().view(torch.int32)
    return ((bits + (1 << 12)) & ~((1 << 13) - 1)).view(torch.float32)
