"""A checkpoint replaces the one before only when it is whole, and is synced by then."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mixkd.shared import publish
from mixkd.shared.errors import StateError
from mixkd.student_train import checkpoints
from mixkd.student_train.checkpoints import Checkpoint, Trained
from mixkd.student_train.state import Run, State

FILES = {"model.pt", "optimizer.pt", "random.pt", "state.json", "run.json"}


def trained(device: str = "cpu", processes: int = 1, fill: float = 1.0) -> Trained:
    """A model after a step of AdamW, and as much of an accelerator as a checkpoint needs."""
    model = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(model.weight, fill)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    accelerator = SimpleNamespace(
        device=torch.device(device),
        is_main_process=True,
        num_processes=processes,
        process_index=0,
        scaler=None,
        unwrap_model=lambda model: model,
    )
    return Trained(accelerator, model, optimizer)


def save(out: Path, step: int, what: Trained | None = None) -> Path:
    (out / "checkpoints").mkdir(exist_ok=True)
    state = State("a" * 64, "b" * 64, epoch=0, step=step)
    run = Run(["a" * 64], {}, processes=1, device="cpu")
    checkpoints.save(what or trained(), out, step, state, run)
    return out / "checkpoints" / f"step-{step:08d}"


def load(folder: Path, into: Trained) -> None:
    checkpoints.load(into, Checkpoint(folder, *checkpoints.read(folder)), seed=0)


def masks() -> list[float]:
    return torch.rand(4).tolist()


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


def test_files_and_folders_are_synced(tmp_path: Path, synced: list[str]) -> None:
    folder = save(tmp_path, 3)
    assert {path.name for path in folder.iterdir()} == FILES
    names = {name.split(".tmp-")[0] for name in synced}
    assert FILES | {".step-00000003", "checkpoints"} <= names


def test_weights_optimizer_and_random_state_come_back(tmp_path: Path) -> None:
    before = trained(fill=2.0)
    folder = save(tmp_path, 3, before)
    drawn = masks()
    after = trained(fill=5.0)
    load(folder, after)
    assert masks() == drawn
    assert torch.equal(before.model.weight, after.model.weight)
    expected, found = before.optimizer.state_dict(), after.optimizer.state_dict()
    assert expected["param_groups"] == found["param_groups"]
    for number, values in expected["state"].items():
        for name, value in values.items():
            assert torch.equal(value, found["state"][number][name])


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter.*:UserWarning")
def test_the_steps_that_adamw_counts_stay_on_the_cpu(tmp_path: Path) -> None:
    """On a GPU reading them waits for it. "meta" is a device that every machine has."""
    folder = save(tmp_path, 3)
    after = trained()
    on_device = torch.nn.Linear(3, 2, device="meta")
    optimizer = torch.optim.AdamW(on_device.parameters())
    after.accelerator.device = torch.device("meta")
    after.accelerator.num_processes = 2
    load(folder, Trained(after.accelerator, on_device, optimizer))
    for values in optimizer.state.values():
        assert values["exp_avg"].device.type == "meta"
        assert values["step"].device.type == "cpu" and values["step"] == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"processes": 2}, "a different number of processes (1, before 2): the batches stay"),
        ({"device": "cuda"}, "a different kind of device (cpu, before cuda): the batches stay"),
    ],
)
def test_random_states_of_others_are_replaced_by_a_function_of_the_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], told: str
) -> None:
    """A checkpoint of a CPU has no random state of a GPU, and the other way round."""
    caplog.set_level("INFO")
    drawn = []
    for step in (3, 6):
        folder = save(tmp_path, step)
        state, run = checkpoints.read(folder)
        for name, value in changes.items():
            setattr(run, name, value)
        for _ in range(2):
            torch.manual_seed(step)
            checkpoints.load(trained(), Checkpoint(folder, state, run), seed=0)
            drawn.append(masks())
    assert told in caplog.text
    assert drawn[0] == drawn[1] != drawn[2] == drawn[3]


@pytest.mark.parametrize("name", ["model.pt", "optimizer.pt", "random.pt"])
@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "other", "pickle"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, name: str, damage: str) -> None:
    folder = save(tmp_path, 3)
    data = (folder / name).read_bytes()
    if damage == "other":
        shutil.copy(folder / ("random.pt" if name != "random.pt" else "model.pt"), folder / name)
    elif damage == "pickle":
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    else:
        (folder / name).write_bytes({"empty": b"", "cut": data[:-30], "absent": b""}[damage])
    if damage == "absent":
        (folder / name).unlink()
    with pytest.raises(StateError, match="expected the files of a checkpoint"):
        load(folder, trained())
