"""Choose where a run computes and in which number format: one `Accelerator` for the options."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import ProjectConfiguration

from mixkd.shared.errors import UsageError
from mixkd.shared.models.device import natively_bfloat16, resolve_device
from mixkd.shared.models.kernels import choose_kernels
from mixkd.student_train import checkpoints
from mixkd.student_train.options import TrainOptions

MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


def make_accelerator(options: TrainOptions, out: Path) -> Accelerator:
    """Set up the run's device, number format, processes and trackers.

    Raises:
        UsageError: If the device is missing, lacks the format, or a tracker is not installed.
        DeviceError: If the device cannot compute.
    """
    device = resolve_device(options.device)
    on_cpu = device.type == "cpu"
    # Accelerate keeps its first choice for the process; a process may train more than one student.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision=MIXED_PRECISION[_dtype(options, device)],
        log_with=_trackers(options.track) or None,
        project_config=ProjectConfiguration(project_dir=str(out), logging_dir=str(out / "logs")),
    )
    choose_kernels()  # again: accelerate turns TensorFloat-32 on when it compiles for a card
    checkpoints.without_wrappers(accelerator)
    if not accelerator.is_main_process:
        # Each process would report the same.
        logging.getLogger("mixkd.student_train").setLevel(logging.WARNING)
    if options.track:
        names = (int, float, str, bool)
        config = {k: v for k, v in options.settings().items() if isinstance(v, names)}
        accelerator.init_trackers("mixkd", config=config)
    return accelerator


def _dtype(options: TrainOptions, device: torch.device) -> str:
    """Choose the number format; `auto` is bfloat16 autocast on GPUs that have it, else float32.

    On CPUs it is float32 even where they have bfloat16: a student is small, its updates are not,
    and a resumed run shall give the same weights. Weights and optimizer stay in float32 always.
    """
    on_cpu = device.type == "cpu"
    if options.dtype == "float16" and on_cpu:
        raise UsageError(
            "--dtype",
            expected="float32 or bfloat16 on a CPU",
            found="float16",
            do="use --dtype auto",
        )
    if options.dtype != "auto":
        return options.dtype
    return "bfloat16" if not on_cpu and natively_bfloat16(device) else "float32"


def _trackers(names: tuple[str, ...]) -> list[str]:
    known = {
        getattr(kind, "value", kind): tracker for kind, tracker in LOGGER_TYPE_TO_CLASS.items()
    }
    available = [getattr(kind, "value", kind) for kind in get_available_trackers()]
    for name in names:
        if name not in available:
            raise UsageError(
                "--track",
                expected=f"an installed tracker, of {', '.join(sorted(known))}",
                found=f"{name}, which is {'not installed' if name in known else 'unknown'}",
                do=f"pip install {name}, or leave it out" if name in known else "choose another",
            )
    return list(names)
