"""Choose where a run computes and in which number format: one `Accelerator` for the options."""

from __future__ import annotations

import logging
import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from mixkd.shared.errors import UsageError
from mixkd.shared.models.device import natively_bfloat16, resolve_device
from mixkd.shared.models.kernels import choose_kernels
from mixkd.shared.trackers import check_trackers
from mixkd.student_train.options import TrainOptions

MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
DISTRIBUTED = {"NO", "MULTI_CPU", "MULTI_GPU"}
OFF = {"", "0", "false", "no", "off", "f", "n"}
# What accelerate would build in place of one student per process.
REFUSED = {
    "ACCELERATE_USE_FSDP": "sharded weights",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "other kinds of parallelism",
    "ACCELERATE_USE_SAGEMAKER": "SageMaker",
    "ACCELERATE_FP8_BACKEND": "layers in float8",
}


def make_accelerator(options: TrainOptions) -> Accelerator:
    """Set up the run's device, number format and processes.

    All that decides the outcome comes from the options: what `accelerate launch` and `accelerate
    config` put into the environment beside the processes is overruled, or refused.

    Raises:
        UsageError: If the device is missing, lacks the format, a tracker is not installed, or the
            environment asks for what a run does not do.
        DeviceError: If the device cannot compute.
    """
    device = resolve_device(options.device)
    dtype = _dtype(options, device)
    check_trackers(options.track)
    _check_environment()
    # Accelerate keeps its first choice for the process; a process may train more than one student.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=MIXED_PRECISION[dtype],
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        dynamo_backend="no",
    )
    choose_kernels()  # again: accelerate turns TensorFloat-32 on when it compiles for a card
    _check_made(accelerator, device)
    if not accelerator.is_main_process:
        # Each process would report the same.
        logging.getLogger("mixkd.student_train").setLevel(logging.WARNING)
    return accelerator


def _check_environment() -> None:
    for name, what in REFUSED.items():
        value = os.environ.get(name, "")
        if value.lower() not in OFF:
            raise UsageError(
                name,
                expected="processes that each hold the whole student as it is",
                found=f"{value}, which asks accelerate for {what}",
                do="unset it, or choose multi-GPU or none in accelerate config",
            )


def _check_made(accelerator: Accelerator, device: torch.device) -> None:
    found = accelerator.distributed_type.value
    if found not in DISTRIBUTED:
        raise UsageError(
            "accelerate",
            expected=f"a run of type {', '.join(sorted(DISTRIBUTED))}",
            found=found,
            do="start it with torchrun, or choose multi-GPU or none in accelerate config",
        )
    if accelerator.device.type != device.type:
        raise UsageError(
            "accelerate",
            expected=f"the device {device.type}, which --device asks for",
            found=f"{accelerator.device.type}, by the environment",
            do="unset ACCELERATE_USE_CPU and ACCELERATE_TORCH_DEVICE",
        )


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
