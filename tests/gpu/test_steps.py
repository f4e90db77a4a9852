"""The steps of `scripts/gpu_check` as tests: they skip without a CUDA device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts.gpu import numbers, runs
from scripts.gpu.bench import BASE, Bench
from scripts.gpu.steps import Step, run

STEPS: tuple[Step, ...] = (
    numbers.automatic_format,
    numbers.tensorfloat32,
    numbers.attention_kernels,
    numbers.cache_in_float32,
    numbers.cache_in_auto,
    runs.stopped_and_resumed,
    runs.out_of_memory,
    runs.checkpoints_across_devices,
    runs.two_builds,
    runs.float16,
    runs.fine_tuning,
    runs.families,
    runs.pinned_batches,
    runs.peak_memory,
    runs.two_cards,
    runs.sigterm,
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return Bench(tmp_path_factory.mktemp("gpu"), pairs=4_000, rows=2_000, sizes=BASE)


@pytest.mark.gpu
@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_on_a_card(step: Step, bench: Bench) -> None:
    result = run(step, bench)
    if result.status == "not tested":
        pytest.skip(result.reason)
    assert result.status == "passed", result.reason


def test_no_card_is_said_and_fails_nothing(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    for step in (numbers.attention_kernels, runs.out_of_memory, runs.pinned_batches):
        result = run(step, Bench(tmp_path, pairs=8, rows=8, sizes=BASE))
        assert (result.status, result.reason) == ("not tested", "there is no CUDA device")
