"""Files that other libraries write are as readable as those of this project."""

from __future__ import annotations

import os
from pathlib import Path

from mixkd.shared import publish


def test_files_get_the_usual_mode(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    file.chmod(0o600)
    (tmp_path / "folder").mkdir()
    before = os.umask(0o022)
    try:
        publish.settle(tmp_path)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o644
    assert file.read_bytes() == b"weights"


def test_files_and_then_their_folder_are_synced(tmp_path: Path, synced: list[str]) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    publish.settle(tmp_path)
    assert sorted(synced[:-1]) == ["config.json", "model.safetensors"]
    assert synced[-1] == tmp_path.name
