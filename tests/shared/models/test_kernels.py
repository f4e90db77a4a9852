"""float32 stays float32, whatever the environment or an earlier library has switched on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mixkd.shared.models import kernels
from mixkd.shared.models.device import resolve_device
from mixkd.shared.models.locate import locate
from mixkd.shared.models.tokenizer import load_tokenizer
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache
from mixkd.teacher_cache.verify import verify_claims
from tests.cards import Tf32Card, cards
from tests.conftest import Tally

ROOT = Path(__file__).resolve().parents[3]
OVERRIDE = "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
PROGRAM = """
import json
from mixkd.shared.models.device import resolve_device
from mixkd.shared.models.kernels import float32_precision
before = float32_precision()
resolve_device("cpu")
import torch
print(json.dumps([before, float32_precision(), torch.backends.cuda.matmul.allow_tf32]))
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """torch as in a new process; what a test has switched on does not stay on."""
    for switch in kernels._switches().values():
        switch.fp32_precision = "none"
    yield
    if hasattr(torch.backends, "fp32_precision"):
        torch.backends.fp32_precision = "none"
    kernels.choose_kernels()


def test_the_override_of_container_images_is_overruled() -> None:
    environment = {**os.environ, OVERRIDE: "1", "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    before, after, old = json.loads(found.stdout)
    assert before["cuda matmul"] == "tf32"  # the override has its effect
    assert set(after.values()) == {"ieee"}
    assert old is False


@pytest.mark.parametrize(
    "switch",
    [
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch.backends.cudnn.allow_tf32 = True",
        "torch.set_float32_matmul_precision('medium')",
        "torch.backends.fp32_precision = 'tf32'",
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
        "torch.backends.cudnn.conv.fp32_precision = 'tf32'",
        "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    ],
)
def test_every_switch_is_turned_off(switch: str, tally: Tally) -> None:
    if "fp32_precision" in switch and not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("this torch has the old switches only")
    exec(switch)
    assert {"tf32", "bf16"} & set(kernels.float32_precision().values())
    resolve_device("cpu")
    assert set(kernels.float32_precision().values()) == {"ieee"}
    # The old names can be read again, too: torch refuses where both disagree.
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    tally("simulated GPU checks", 1)


def test_attention_of_cudnn_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    cards(monkeypatch, 1)
    resolve_device("auto")
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.mem_efficient_sdp_enabled()


def test_a_model_in_memory_gets_the_same_kernels(good_teacher: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    from mixkd.teacher_cache.teacher import Teacher

    model = AutoModelForSequenceClassification.from_pretrained(good_teacher)
    tokenizer = load_tokenizer(locate(str(good_teacher)))
    torch.set_float32_matmul_precision("high")
    Teacher.from_model(model, tokenizer, name="it", max_length=32)
    assert set(kernels.float32_precision().values()) == {"ieee"}


@pytest.mark.parametrize("chosen", [True, False], ids=["our switches", "the card's"])
def test_a_cache_from_a_card_with_tf32_is_the_teachers(
    chosen: bool,
    tmp_path: Path,
    data: Path,
    good_teacher: Path,
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
) -> None:
    torch.set_float32_matmul_precision("high")  # what the override amounts to
    if not chosen:
        monkeypatch.setattr("mixkd.shared.models.device.choose_kernels", lambda: None)
    root = tmp_path / "cache"
    card = Tf32Card()
    with card:
        build_cache(
            BuildOptions(
                task="mood",
                pairs=64,
                data=str(data),
                teacher=str(good_teacher),
                out=root,
                device="cpu",
                dtype="float32",
            )
        )
    wrong = verify_claims(root, teacher=str(good_teacher), rows=100, device="cpu").wrong
    assert bool(card.rounded) != chosen
    assert bool(wrong) != chosen
    tally("simulated GPU checks", 1)
