"""Choose the device that a model runs on, and its number formats; name what it cannot do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mixkd.shared.errors import DeviceError, DeviceMemoryError, UsageError
from mixkd.shared.models.kernels import choose_kernels
from mixkd.shared.models.quietly import first_line
from mixkd.shared.options import Dtype

if TYPE_CHECKING:
    import torch

# Much of what reports a full memory raises a plain RuntimeError: the CPU's allocator, CUDA and MPS,
# and libraries that cannot get their workspace.
MEMORY_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "STATUS_ALLOC_FAILED",
    "STATUS_NOT_INITIALIZED",
)
NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # the last one is ARM's
BFLOAT16_CAPABILITY, FLOAT16_CAPABILITY = (8, 0), (7, 0)


def resolve_device(name: str) -> torch.device:
    """Resolve the name of a device, and try whether it computes.

    `auto` is a CUDA device if there is one, else Apple's MPS, else the CPU. Without a number it is
    the CUDA device of this process among those of its machine, as `LOCAL_RANK` tells (torchrun
    sets it), else the first.

    Raises:
        UsageError: If there is no such device.
        DeviceError: If it cannot compute.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if count else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # as unusable as a device of an unknown name
    if device.type == "cuda" and device.index is None and count:
        device = torch.device("cuda", _local_rank() % count)
    usable = {"cpu": True, "mps": mps, "cuda": (device.index or 0) < count}
    if not usable.get(device.type, False):
        raise UsageError(
            "--device",
            expected="auto, cpu, cuda or mps",
            found=f"{name}, on a machine with {count} CUDA devices{' and MPS' if mps else ''}",
            do="use --device auto",
        )
    return ready(device)


def ready(device: torch.device) -> torch.device:
    """Choose the process's kernels, and try a product on the device before anything is loaded.

    Raises:
        DeviceError: If it cannot compute: torch has no kernels for it, or others hold it.
    """
    import torch

    choose_kernels()
    if device.type == "cpu":
        return device
    try:
        ones = torch.ones(8, 8, device=device)
        total = float((ones @ ones).sum())
        found = "" if total == 512 else f"{total:g} in place of 512"
    except (RuntimeError, AssertionError) as error:  # the latter: torch without this device
        found = first_line(error)
    if found:
        raise DeviceError(
            device,
            expected="a device that multiplies two small matrices",
            found=found,
            do="free it, or install a torch that is built for it, or use --device cpu",
        )
    return device


def natively_bfloat16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 matrices itself, which makes it faster."""
    return native_format(device) == "bfloat16"


def native_format(device: torch.device) -> Dtype:
    """Return the fastest format that a device multiplies itself: float32 where it has no lower one.

    CUDA devices from capability 8.0 on have bfloat16, those of 7.x float16. MPS counts as float32.
    """
    import torch

    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability >= BFLOAT16_CAPABILITY:
            return "bfloat16"
        return "float16" if capability >= FLOAT16_CAPABILITY else "float32"
    # Releases of torch that do not report it run in float32.
    ask: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = ask() if device.type == "cpu" else {}
    native = any(capabilities.get(feature, False) for feature in NATIVE_BFLOAT16)
    return "bfloat16" if native else "float32"


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


@contextmanager
def memory_advice(do: str) -> Iterator[None]:
    """Put the caller's next step in place of the one in an error about memory.

    Raises:
        DeviceMemoryError: With `do` as the next step.
    """
    try:
        yield
    except DeviceMemoryError as error:
        raise DeviceMemoryError(
            error.where, expected=error.expected, found=error.found, do=do
        ) from error


def elsewhere(device: torch.device) -> str:
    """Say what to do where no option makes a batch smaller, as a remedy for `memory_for`."""
    if device.type == "cpu":
        return "use a machine with more memory, or a smaller model"
    return "use --device cpu, or free the device"


def _local_rank() -> int:
    """Return this process's number on its machine; 0 where nothing says it."""
    text = os.environ.get("LOCAL_RANK", "")
    return int(text) if text.isdecimal() else 0
