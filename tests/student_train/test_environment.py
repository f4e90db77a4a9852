"""What accelerate reads from the environment decides nothing, or is refused by name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mixkd.shared.errors import UsageError
from mixkd.student_train import device
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.train import train
from tests.student_train.test_train import options, weights

# All that accelerate 1.15 reads where a run has one process per student, and what would spoil it.
OVERRULED = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_DYNAMO_BACKEND": "EAGER",
    "ACCELERATE_DYNAMO_MODE": "max-autotune",
    "ACCELERATE_DYNAMO_USE_DYNAMIC": "true",
    "ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION": "true",
    "ACCELERATE_DOWNCAST_BF16": "true",
    "ACCELERATE_GRADIENT_CLIPPING": "0.001",
    "ACCELERATE_USE_CPU": "true",
    "ACCELERATE_DEBUG_MODE": "true",
    "ACCELERATE_BYPASS_DEVICE_MAP": "true",
    "ACCELERATE_ALLOW_CP_STANDALONE": "true",
    "ACCELERATE_FP8_BACKEND": "NO",
    "ACCELERATE_USE_FSDP": "false",
    "FSDP_VERSION": "2",
    "FSDP_OFFLOAD_PARAMS": "true",
    "PARALLELISM_CONFIG_TP_SIZE": "2",
}


def test_the_environment_of_accelerate_changes_no_weight(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(options(cache, tmp_path / "without", epochs=1))
    for name, value in OVERRULED.items():
        monkeypatch.setenv(name, value)
    result = train(options(cache, tmp_path / "with", epochs=1))
    assert result is not None and result.settings.dtype_used == "float32"
    expected, found = weights(tmp_path / "without"), weights(tmp_path / "with")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("name", device.REFUSED)
@pytest.mark.parametrize("value", ["true", "True", "1", "AO"])
def test_ways_to_share_a_student_out_are_refused(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name}: expected processes that each hold the whole"):
        device.make_accelerator(TrainOptions("cache", out=tmp_path, device="cpu"))


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "MEGATRON_LM", "XLA", "MULTI_HPU"])
def test_types_of_runs_that_are_not_tested_are_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(**arguments: Any) -> Any:
        return SimpleNamespace(distributed_type=SimpleNamespace(value=kind))

    monkeypatch.setattr(device, "Accelerator", made)
    with pytest.raises(UsageError, match=f"a run of type MULTI_CPU, MULTI_GPU, NO, found {kind}"):
        device.make_accelerator(TrainOptions("cache", out=tmp_path, device="cpu"))


def test_a_device_that_the_environment_names_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "meta")
    with pytest.raises(UsageError, match=r"the device cpu, .* found meta, by the environment"):
        device.make_accelerator(TrainOptions("cache", out=tmp_path, device="cpu"))
