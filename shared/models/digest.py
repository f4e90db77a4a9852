"""Digests that identify a model: over its files, or over its tensors in memory."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixkd.shared.json_values import dumps

if TYPE_CHECKING:
    from torch import nn

CHUNK_BYTES = 1 << 20
# What a config notes when its model is saved or loaded; it says nothing that the model is not.
NOTED_SETTINGS = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


def files_sha256(folder: Path, names: Iterable[str]) -> str:
    """Digest files of a folder, in order of their names.

    Each file is framed: uint32 length of its name, the name, uint64 size in bytes (both little
    endian), the content.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        with (folder / name).open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            digest.update(_framed(name.encode(), 4) + size.to_bytes(8, "little"))
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def contents_sha256(contents: Mapping[str, bytes]) -> str:
    """Digest files in memory, by name -> content, as `files_sha256` does those of a folder."""
    digest = hashlib.sha256()
    for name, data in sorted(contents.items()):
        digest.update(_framed(name.encode(), 4) + len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def model_sha256(model: nn.Module) -> str:
    """Digest a model's state: equal for equal tensors and settings, wherever they come from.

    Over each entry of `state_dict()` (parameters and persistent buffers), in order of the names:
    uint32 length of the name, the name; uint32 length of the dtype's name, the name, such as
    `float32`; uint32 number of dimensions, each as uint64; uint64 number of bytes, the elements in
    C order. All numbers, those of the tensors too, are little endian.

    Where the model has `config.to_dict()`, then follows its canonical JSON, framed by its uint64
    number of bytes, without what saving or loading notes there:
    `_name_or_path`, `architectures`, `dtype`, `torch_dtype` and `transformers_version`.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        elements = flat.view(torch.uint8).numpy()  # [bytes]
        if sys.byteorder == "big":
            elements = np.ascontiguousarray(elements.reshape(-1, flat.element_size())[:, ::-1])
        digest.update(_framed(name.encode(), 4))
        digest.update(_framed(str(tensor.dtype).removeprefix("torch.").encode(), 4))
        digest.update(tensor.ndim.to_bytes(4, "little"))
        digest.update(np.array(tensor.shape, "<u8").tobytes())
        digest.update(elements.nbytes.to_bytes(8, "little"))
        digest.update(elements)
    settings = getattr(getattr(model, "config", None), "to_dict", None)
    if settings is not None:
        digest.update(_framed(dumps(plain_settings(settings())), 8))
    return digest.hexdigest()


def plain_settings(settings: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a config as plain JSON values, without what saving or loading notes there."""
    # Through plain JSON, where keys are strings: the numbers of labels are not.
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return {key: value for key, value in plain.items() if key not in NOTED_SETTINGS}


def _framed(content: bytes, length_bytes: int) -> bytes:
    return len(content).to_bytes(length_bytes, "little") + content
