"""mixkd: cache a text classifier's logits once, distil students from them as often as you like.

Everything here is imported when it is first used, so that `import mixkd` takes no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixkd.shared.cache.reader import Cache as Cache

_FACE = {"Cache": "mixkd.shared.cache.reader"}
__all__ = ["Cache"]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'mixkd' has no attribute {name!r}")
    return getattr(importlib.import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
