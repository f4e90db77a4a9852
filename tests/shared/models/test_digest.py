"""The identity of a model in memory, written again in plain words."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from mixkd.shared.models.digest import model_sha256
from tests.miniature import ENCODERS, tiny_model


def text(value: str) -> bytes:
    return struct.pack("<I", len(value.encode())) + value.encode()


def plain_sha256(model: Any) -> str:
    """As the docstring says, for float32 and int64 on a machine of any byte order."""
    content = b""
    for name, tensor in sorted(model.state_dict().items()):
        kind, mark = {torch.float32: ("float32", "f"), torch.int64: ("int64", "q")}[tensor.dtype]
        values = tensor.flatten().tolist()
        data = struct.pack(f"<{len(values)}{mark}", *values)
        shape = struct.pack(f"<I{tensor.ndim}Q", tensor.ndim, *tensor.shape)
        content += text(name) + text(kind) + shape + struct.pack("<Q", len(data)) + data
    if hasattr(model, "config"):
        config = json.loads(json.dumps(model.config.to_dict()))
        for name in ("_name_or_path", "architectures", "dtype", "transformers_version"):
            config.pop(name, None)
        settings = json.dumps(config, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        content += struct.pack("<Q", len(settings.encode())) + settings.encode()
    return hashlib.sha256(content).hexdigest()


def test_the_digest_is_the_documented_one() -> None:
    model = tiny_model(labels=tuple(f"label {number}" for number in range(12)))
    assert model_sha256(model) == plain_sha256(model)


def test_a_module_without_a_config() -> None:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(2.0))
            self.register_buffer("seen", torch.arange(6).reshape(2, 3).T)

    assert model_sha256(Scaled()) == plain_sha256(Scaled())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_dtype_has_a_digest_of_its_own(dtype: torch.dtype) -> None:
    layer = torch.nn.Linear(3, 2)
    assert model_sha256(layer) != model_sha256(copy.deepcopy(layer).to(dtype))


@pytest.mark.parametrize("family", ENCODERS)
def test_equal_content_from_elsewhere_is_equal(family: str, tmp_path: Path) -> None:
    model = tiny_model(family)
    digests = {model_sha256(model), model_sha256(copy.deepcopy(model))}
    for name in ("here", "there"):
        model.save_pretrained(tmp_path / name)
        loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / name)
        digests.add(model_sha256(loaded.eval()))
    assert len(digests) == 1


def test_a_weight_and_a_setting_change_the_digest() -> None:
    model = tiny_model()
    digests = {model_sha256(model)}
    with torch.no_grad():
        model.classifier.bias[1] += 1e-6
    digests.add(model_sha256(model))
    model.config.layer_norm_eps *= 2
    digests.add(model_sha256(model))
    model.requires_grad_(False)
    model.config._name_or_path = "/of/no/consequence"
    digests.add(model_sha256(model))
    assert len(digests) == 3
