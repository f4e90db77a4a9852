"""Checkpoints of a run: everything it needs to continue, private to it, the newest one kept.

    OUT/checkpoints/step-00000500/   accelerate's state (it pickles: read only by the run itself),
                                     state.json (where the run stands), run.json (its history)

A checkpoint is written under a temporary name and renamed, so that an existing one is complete.

A different number of processes may continue a run: weights, optimizer and order are those of the
whole run. Only the random states, which draw dropout's masks, are each process's own.
"""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from mixkd.shared import publish
from mixkd.shared.errors import DiskError, StateError
from mixkd.shared.random import Stream, philox_words
from mixkd.student_train.state import Run, State

log = logging.getLogger(__name__)
FOLDER = "checkpoints"
STEP = re.compile(r"step-(\d{8,})")
RUN_LIMIT_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint, its weights not loaded yet."""

    folder: Path
    state: State
    run: Run


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
        if len(run.history) != state.epoch:
            raise ValueError(f"metrics of {len(run.history)} epochs in epoch {state.epoch}")
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(
            folder,
            expected="the files of a checkpoint",
            found=str(error)[:120],
            do="remove this folder to start again",
        ) from None
    return state, run


def without_wrappers(accelerator: Any) -> None:
    """Let checkpoints name weights as the student does, whatever wraps it.

    `DistributedDataParallel` puts "module." before each name, and one process has no wrapper.
    """

    def bare_weights(models: list[Any], weights: list[Any], folder: str) -> None:
        weights[:] = [accelerator.unwrap_model(model).state_dict() for model in models]

    def bare_models(models: list[Any], folder: str) -> None:
        models[:] = [accelerator.unwrap_model(model) for model in models]

    accelerator.register_save_state_pre_hook(bare_weights)
    accelerator.register_load_state_pre_hook(bare_models)


def load(accelerator: Any, checkpoint: Checkpoint, seed: int, step: int) -> None:
    """Restore weights, optimizer and random state; every process calls this.

    A different number of processes has no saved random state for each of them: all start from a
    function of the run's seed, its step and the process.
    """
    accelerator.load_state(str(checkpoint.folder))
    before = checkpoint.run.processes
    if before != accelerator.num_processes:
        log.info(
            "the run continues with a different number of processes (%d, before %d): the batches "
            "stay the same, dropout's masks do not",
            accelerator.num_processes,
            before,
        )
        [word] = philox_words(seed, step, 1, Stream.DROPOUT, start=accelerator.process_index)
        torch.manual_seed(int(word))


def save(accelerator: Any, out: Path, step: int, state: State, run: Run) -> None:
    """Write a checkpoint and remove older ones; every process calls this at the same step."""
    folder = out / FOLDER
    final, aside = folder / f"step-{step:08d}", folder / f".step-{step:08d}"
    try:
        if accelerator.is_main_process:
            publish.folder(folder)
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
        accelerator.wait_for_everyone()
        accelerator.save_state(str(aside))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (aside / "state.json").write_bytes(state.to_bytes())
            (aside / "run.json").write_bytes(
                msgspec.json.format(msgspec.json.encode(run), indent=1)
            )
            publish.settle(aside)
            publish.move(aside, final)
            for older in folder.glob("*step-*"):
                if older != final:
                    shutil.rmtree(older, ignore_errors=True)
        accelerator.wait_for_everyone()
    except (OSError, RuntimeError) as error:
        if not isinstance(error, OSError) and "write" not in str(error):
            raise
        raise unwritten(final, error) from error


def unwritten(where: Path, error: BaseException) -> DiskError:
    """Return the error for something that could not be written."""
    return DiskError(
        where,
        expected="to write it",
        found=str(error)[:120],
        do="free space, then continue with --resume",
    )
