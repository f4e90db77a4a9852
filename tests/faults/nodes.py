"""Two processes of one run that see different folders, as nodes without a shared disk do.

    python -m tests.faults.nodes CACHE FOLDER

They are forked and talk over gloo. Prints JSON: scenario -> how each of the two ended.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mixkd.shared.command import Terminated
from mixkd.shared.errors import MixkdError
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.train import train
from tests.faults.students import import_everything, options

LONGEST_S = 120  # a process that waits for the other for ever is killed
SETTINGS = {"batch_size": 3, "log_steps": 1, "checkpoint_steps": 10}


def ends(work: Callable[[int], object]) -> list[str]:
    """Run `work` in two processes that know each other; say how each ended."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        number = port.getsockname()[1]
    pipes = [os.pipe(), os.pipe()]
    children = []
    for rank in (0, 1):
        child = os.fork()
        if child == 0:
            signal.alarm(LONGEST_S)
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": number, "WORLD_SIZE": 2}
            ranks = {"RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}
            os.environ |= {name: str(value) for name, value in {**where, **ranks}.items()}
            os.write(pipes[rank][1], _end(lambda rank=rank: work(rank)).encode())
            os._exit(0)
        children.append(child)
    found = []
    for child, (read, write) in zip(children, pipes, strict=True):
        os.close(write)
        with os.fdopen(read, "rb") as stream:
            found.append(stream.read().decode())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found[-1] = found[-1] or f"ended with {status}"
    return found


def _end(work: Callable[[], object]) -> str:
    try:
        work()
    except MixkdError as error:
        return f"{type(error).__name__}: {error}"
    except Terminated:
        return "stopped"
    except BaseException as error:
        return f"unexpected {error!r}"
    return "done"


def stop(done: int, losses: Mapping[str, float]) -> None:
    if done == 10:
        os.kill(os.getpid(), signal.SIGTERM)


def main(cache: Path, folder: Path) -> dict[str, list[str]]:
    import_everything(options(cache, folder / "none"))
    stopped, shared = folder / "stopped", folder / "shared"
    elsewhere = shutil.copytree(cache, folder / "elsewhere")
    shutil.rmtree(elsewhere / "seals")
    (elsewhere / "MANIFEST.json").unlink()

    def settings(out: Path, **changes: Any) -> TrainOptions:
        return options(cache, out, **SETTINGS, **changes)

    def full(rank: int) -> None:
        def refuse(*arguments: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if rank == 0:
            os.fsync = refuse  # type: ignore[assignment]
        train(settings(shared, resume=True))

    def own(rank: int, **changes: Any) -> None:
        """Each node has a folder of its own."""
        train(settings(folder / f"node-{rank}", resume=True, **changes))

    found = {"stop": ends(lambda rank: train(settings(stopped), stop))}
    shutil.copytree(stopped, folder / "node-0")
    found["no checkpoint"] = ends(own)
    shutil.copytree(stopped, folder / "node-1")
    (step,) = (folder / "node-1" / "checkpoints").iterdir()
    step.rename(step.with_name("step-00000020"))
    found["other checkpoint"] = ends(own)
    step.with_name("step-00000020").rename(step)
    state = step / "state.json"
    state.write_text(state.read_text().replace('"step": 10', '"step": 9'))
    found["other step"] = ends(own)
    found["other settings"] = ends(lambda rank: own(rank, seed=rank))
    shutil.copytree(stopped, shared)
    found["no cache"] = ends(
        lambda rank: train(options((cache, elsewhere)[rank], shared, **SETTINGS, resume=True))
    )
    found["unfinished"] = ends(lambda rank: train(settings(shared)))
    found["full disk"] = ends(full)
    found["resume"] = ends(lambda rank: train(settings(shared, resume=True)))
    found["finished"] = ends(lambda rank: train(settings(shared, resume=True)))
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2])), indent=1))
