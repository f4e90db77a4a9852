"""A folder as a newcomer has it: some rows, and a model under the name that a page uses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

BASE_MODEL = "bert-base-uncased"  # of the pages; here the folder of a tiny model


@pytest.fixture
def desk(tmp_path: Path, good_teacher: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; its model has seen the words of `tiny_data`, like a pretrained one."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(good_teacher, tmp_path / BASE_MODEL)
    return tmp_path
