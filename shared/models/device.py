"""Choose the device that a model runs on; name what to do when its memory is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mixkd.shared.errors import DeviceMemoryError, UsageError

if TYPE_CHECKING:
    import torch

# The CPU's allocator and CUDA's libraries raise a plain RuntimeError.
MEMORY_SIGNS = ("can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")
NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # the last one is ARM's


def resolve_device(name: str) -> torch.device:
    """Resolve the name of a device; `auto` is the first CUDA device if there is one, else the CPU.

    Raises:
        UsageError: If there is no such device.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # as unusable as a device of an unknown name
    if device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < count):
        return device
    raise UsageError(
        "--device",
        expected="auto, cpu or cuda",
        found=f"{name}, on a machine with {count} CUDA devices",
        do="use --device auto",
    )


def natively_bfloat16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 matrices itself, which makes it faster."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Releases of torch that do not report it run in float32.
    ask: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = ask()
    return any(capabilities.get(feature, False) for feature in NATIVE_BFLOAT16)


@contextmanager
def memory_for(what: str, device: torch.device, remedy: str) -> Iterator[None]:
    """Turn the device's running out of memory into an error that says what to do.

    Raises:
        DeviceMemoryError: With `remedy` as the next step.
    """
    import torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        full = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not full and not any(sign in str(error) for sign in MEMORY_SIGNS):
            raise
        raise DeviceMemoryError(
            device, expected=f"room for {what}", found="out of memory", do=remedy
        ) from error
