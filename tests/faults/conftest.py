"""Faults are tried on folders in memory where the system has such a place.

They publish some hundred thousand small files. What a disk keeps is not tested by a disk, but by
`disk.py`; a killed process leaves the same files on both.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

IN_MEMORY = Path("/dev/shm")
NEEDED_BYTES = 512 * 2**20


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder for this test alone, removed at its end if it is in memory."""
    if not os.access(IN_MEMORY, os.W_OK) or shutil.disk_usage(IN_MEMORY).free < NEEDED_BYTES:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="mixkd-faults-", dir=IN_MEMORY) as folder:
        yield Path(folder)
