"""A checkpoint replaces the one before only when it is whole, and is synced by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixkd.shared import publish
from mixkd.student_train import checkpoints
from mixkd.student_train.state import Run, State


class Accelerator:
    is_main_process, num_processes = True, 1

    def wait_for_everyone(self) -> None: ...

    def save_state(self, folder: str) -> None:
        (Path(folder) / "model.safetensors").write_bytes(b"weights")


def save(out: Path, step: int) -> None:
    state, run = State("a" * 64, "b" * 64, epoch=0, step=step), Run(["a" * 64], {}, 1)
    checkpoints.save(Accelerator(), out, step, state, run)


def test_a_checkpoint_is_there_until_the_next_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: Any) -> None:
        raise SystemExit

    save(tmp_path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(publish, "move", killed)
        with pytest.raises(SystemExit):
            save(tmp_path, 6)
    newest = checkpoints.newest(tmp_path)
    assert newest is not None
    assert checkpoints.read(newest)[0].step == 3
    save(tmp_path, 6)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000006"]


def test_files_and_folder_are_synced(tmp_path: Path, synced: list[str]) -> None:
    save(tmp_path, 3)
    assert {"state.json", "run.json", "model.safetensors", "checkpoints"} <= set(synced)
