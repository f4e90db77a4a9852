"""Keep torch to the kernels that a cache's numbers and a short pass need, in the whole process.

float32 means IEEE single precision. TensorFloat-32 keeps 10 of the 23 bits of each factor, which
moves logits by more than the probe and `verify --teacher` allow. Some container images turn it on
with `TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1`: a default, which the switches below overrule.
"""

from __future__ import annotations

from typing import Any


def choose_kernels() -> None:
    """Compute float32 products in full, and leave out cuDNN's attention.

    That one plans again for every new shape of a batch, up to half a second each, and batches by
    length have dozens of shapes (https://github.com/modelscope/FunASR/issues/3704).
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)
    # The old switches first: they make what torch keeps under old and new names agree. Since
    # torch 2.9, what is not set inherits from a global switch.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    for switch in _switches().values():
        switch.fp32_precision = "ieee"


def float32_precision() -> dict[str, str]:
    """Return how torch multiplies float32 numbers: kind of product -> `ieee`, `tf32` or `bf16`.

    `none` is what torch calls a default that amounts to `ieee`.
    """
    import torch

    switches = _switches()
    if not switches:
        return {"cuda matmul": "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"}
    return {name: switch.fp32_precision for name, switch in switches.items()}


def _switches() -> dict[str, Any]:
    """Return what torch lets a process set; nothing before torch 2.9."""
    import torch

    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):
        return {}
    return {
        "cuda matmul": backends.cuda.matmul,
        "cudnn conv": backends.cudnn.conv,
        "cudnn rnn": backends.cudnn.rnn,
        "cpu matmul": backends.mkldnn.matmul,
    }
