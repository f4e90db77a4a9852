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

from tests.once import made_once

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


@pytest.fixture(scope="session")
def student_cache(tmp_path_factory: pytest.TempPathFactory, good_teacher: Path) -> Path:
    """The cache of `tests/student_train`: two classes, 40 + 20 examples, 100 pairs."""
    from tests.student_train.caches import make_cache

    return made_once(tmp_path_factory, "two", lambda root: make_cache(root, good_teacher))
