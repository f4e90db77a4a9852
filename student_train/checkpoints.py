"""Checkpoints of a run: everything it needs to continue, private to it, the newest one kept.

    OUT/checkpoints/step-00000500/   model.pt, optimizer.pt, random.pt (tensors, no foreign classes)
                                     best.pt (the weights of the best validation, if these are kept)
                                     state.json (where the run stands), run.json (its history)

A checkpoint is written under a temporary name and renamed, so that an existing one is complete. The
main process writes all of it.

A different number of processes may continue a run: weights, optimizer and order are those of the
whole run. Only the random states, which draw dropout's masks, are each process's and device's own.
"""

from __future__ import annotations

import io
import logging
import pickle
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from accelerate.utils import gather_object

from mixkd.shared import publish
from mixkd.shared.errors import DiskError, StateError
from mixkd.shared.random import Stream, philox_words
from mixkd.student_train.memory import memory_for_student
from mixkd.student_train.state import Run, State
from mixkd.student_train.together import by_main

log = logging.getLogger(__name__)
FOLDER = "checkpoints"
STEP = re.compile(r"step-(\d{8,})")
MODEL, OPTIMIZER, RANDOM, BEST = "model.pt", "optimizer.pt", "random.pt", "best.pt"
STUDENT = ".student"  # the finished student, before its files are put in place
OWN = re.compile(rf"\.?{STEP.pattern}|{re.escape(STUDENT)}")
RUN_LIMIT_BYTES = 2**24
# What torch raises for files that are cut, damaged, or of another model.
UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    RuntimeError,
    pickle.UnpicklingError,
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint, its weights not loaded yet."""

    folder: Path
    state: State
    run: Run


@dataclass(slots=True)
class Trained:
    """What changes while a run trains, beside its position.

    Attributes:
        model, optimizer: As the accelerator wraps them.
        best: The weights of the best validation, on the CPU, in the main process of a run that
            keeps them.
    """

    accelerator: Any
    model: Any
    optimizer: Any
    best: dict[str, torch.Tensor] | None = None

    def remember(self) -> None:
        """Keep a copy of the weights as the best ones."""
        if self.accelerator.is_main_process:
            weights = self.accelerator.unwrap_model(self.model).state_dict()
            self.best = {
                name: value.detach().to("cpu", copy=True) for name, value in weights.items()
            }

    def restore(self) -> None:
        """Go back to the best weights, if there are any."""
        if self.best is not None:
            self.accelerator.unwrap_model(self.model).load_state_dict(self.best)

    def states(self) -> dict[str, Any]:
        """Return the content of each file of tensors; every process calls this.

        Names of weights are the student's own: `DistributedDataParallel` puts "module." before
        each, and one process has no wrapper.
        """
        scaler = self.accelerator.scaler
        best = {} if self.best is None else {BEST: self.best}
        processes = gather_object([_random_state(self.accelerator.device)])
        return {
            MODEL: self.accelerator.unwrap_model(self.model).state_dict(),
            OPTIMIZER: {
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler else {},
            },
            RANDOM: {"processes": processes},
            **best,
        }


def newest(out: Path) -> Path | None:
    """Return the folder of the last complete checkpoint below `out`."""
    found = [path for path in (out / FOLDER).glob("step-*") if STEP.fullmatch(path.name)]
    return max(found, key=lambda path: int(path.name[5:]), default=None)


def last(out: Path) -> Checkpoint | None:
    """Read the newest checkpoint of a run, if it has one.

    Raises:
        StateError: If its files are not what `save` writes.
    """
    folder = newest(out)
    return None if folder is None else Checkpoint(folder, *read(folder))


def read(folder: Path) -> tuple[State, Run]:
    """Read where a checkpoint's run stands, before anything is loaded.

    Raises:
        StateError: If its files are not what `save` writes.
    """
    try:
        state_file, run_file = folder / "state.json", folder / "run.json"
        if max(state_file.stat().st_size, run_file.stat().st_size) > RUN_LIMIT_BYTES:
            raise ValueError("too large")
        state = State.from_bytes(state_file.read_bytes(), state_file)
        run = msgspec.json.decode(run_file.read_bytes(), type=Run)
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(
            folder,
            expected="the files of a checkpoint",
            found=str(error)[:120],
            do="remove this folder to start again",
        ) from None
    return state, run


def load(trained: Trained, checkpoint: Checkpoint, seed: int, with_best: bool = False) -> None:
    """Restore weights, optimizer and random state; every process calls this.

    A different number of processes, or kind of device, has no saved random state for each: all
    start from a function of the run's seed, its step and the process.

    Args:
        with_best: The run keeps its best weights, and has some.

    Raises:
        StateError: If a file is not what `save` writes.
        DeviceMemoryError: If the optimizer's state does not fit beside the weights.
    """
    folder, run, accelerator = checkpoint.folder, checkpoint.run, trained.accelerator
    different = []
    if run.processes != accelerator.num_processes:
        numbers = f"({accelerator.num_processes}, before {run.processes})"
        different.append(f"a different number of processes {numbers}")
    if run.device != accelerator.device.type:
        kinds = f"({accelerator.device.type}, before {run.device})"
        different.append(f"a different kind of device {kinds}")
    try:
        with memory_for_student(accelerator.device):
            if with_best and accelerator.is_main_process:
                trained.best = _read_tensors(folder / BEST)
                trained.restore()  # tried now, so that what does not fit is named before training
            accelerator.unwrap_model(trained.model).load_state_dict(_read_tensors(folder / MODEL))
            # The steps that AdamW counts stay on the CPU, where it made them: a GPU would be waited
            # for, twice per parameter and step.
            state = _read_tensors(folder / OPTIMIZER)
            trained.optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler and state["scaler"]:
            accelerator.scaler.load_state_dict(state["scaler"])
        if not different:
            states = _read_tensors(folder / RANDOM)["processes"]
            _set_random_state(accelerator.device, states[accelerator.process_index])
    except UNREADABLE as error:
        raise StateError(
            folder,
            expected="the files of a checkpoint",
            found=str(error)[:120],
            do="remove this folder to start again",
        ) from None
    if different:
        log.info(
            "the run continues with %s: the batches stay the same, dropout's masks do not",
            " and ".join(different),
        )
        step = int(folder.name[5:])
        [word] = philox_words(seed, step, 1, Stream.DROPOUT, start=accelerator.process_index)
        torch.manual_seed(int(word))


def save(trained: Trained, out: Path, step: int, state: State, run: Run) -> None:
    """Write a checkpoint and remove older ones; every process calls this at the same step.

    Raises:
        DiskError: In every process; the checkpoint before is still there.
    """
    states = trained.states()
    by_main(trained.accelerator, lambda: _write(out / FOLDER, step, states, state, run))


def _write(folder: Path, step: int, states: dict[str, Any], state: State, run: Run) -> None:
    final, aside = folder / f"step-{step:08d}", folder / f".step-{step:08d}"
    disk = publish.Root(aside)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for name, tensors in states.items():
            disk.replace(name, _tensor_bytes(tensors))
        disk.replace("state.json", state.to_bytes())
        disk.replace("run.json", msgspec.json.format(msgspec.json.encode(run), indent=1))
        publish.move(aside, final)
    except (OSError, DiskError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise unwritten(final, error) from error
    remove(path for path in leftovers(folder.parent) if path != final)


def leftovers(out: Path) -> list[Path]:
    """List everything that this run, or one before that was killed, has put beside the student."""
    names = (path for path in (out / FOLDER).glob("*") if OWN.fullmatch(path.name))
    return sorted(names)


def remove(folders: Iterable[Path]) -> None:
    """Remove checkpoints; one that is removed in part does not look complete."""
    for path in folders:
        aside = path.with_name(f".{path.name.removeprefix('.')}")
        with suppress(OSError):
            path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def unwritten(where: Path, error: BaseException) -> DiskError:
    """Return the error for something that could not be written."""
    found = error.found if isinstance(error, DiskError) else str(error)[:120]
    return DiskError(
        where,
        expected="to write it",
        found=found,
        do="free space, then continue with --resume",
    )


def _tensor_bytes(tensors: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(tensors, stream)
    return stream.getvalue()


def _read_tensors(file: Path) -> Any:
    return torch.load(file, map_location="cpu", weights_only=True)


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    return states


def _set_random_state(device: torch.device, states: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[device.type])
