"""What whole builds with a real small teacher begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def options(tmp_path: Path, good_teacher: Path, data: Path) -> dict[str, Any]:
    """Options of a build that works: 48 train and 24 validation rows, shards of 32."""
    return {
        "task": "tiny",
        "pairs": 100,
        "teacher": str(good_teacher),
        "data": str(data),
        "out": tmp_path / "cache",
        "shard_rows": 32,
        "dtype": "float32",
    }
