"""Builders of `--devices` without torch: the teacher is a formula, and one of them misbehaves.

    python -m tests.teacher_cache.quick                  # a builder, as the actual worker
    python -m tests.teacher_cache.quick --devices ...    # the command, with such builders

QUICK in the environment is a JSON object: seconds `slow_s` per batch; and once there is a cache and
two batches are done, a builder waits until there were `starts` of builders, and the one of `rank`
misbehaves in its first `times` starts: `do` is kill, torn, crash or fail. `early`: without a cache.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from mixkd.shared import command
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.errors import WeakTeacherError
from mixkd.shared.mixup import MixBatch
from mixkd.shared.progress import ShowProgress
from mixkd.teacher_cache import processes, run, worker
from mixkd.teacher_cache.cli import cache_teacher
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.results import RunFacts
from tests import caches
from tests.numpy_caches import Logits, job, score


def run_builder(options: BuildOptions, show: ShowProgress) -> RunFacts | None:
    """What `run.run_builder` does, with synthetic examples."""
    made = job(options.root, options.pairs)
    wrong = json.loads(os.environ.get("QUICK", "{}"))
    starts = _started(options.root)
    deadline = float("inf")
    if options.time_limit_s is not None:
        deadline = time.monotonic() + options.time_limit_s
    if not caches.missing_rows(made) or options.dry_run:
        return None
    batches = 0

    def teacher(batch: MixBatch) -> Logits:
        nonlocal batches
        batches += 1
        time.sleep(wrong.get("slow_s", 0))
        if batches > 2 and (wrong.get("early") or CacheFolder(options.root).exists()):
            own = wrong.get("rank") == int(os.environ["LOCAL_RANK"])
            if own and starts <= wrong.get("times", 1):
                misbehave(wrong["do"])
            until = time.monotonic() + 60
            while len(_starts(options.root)) < wrong.get("starts", 0) and time.monotonic() < until:
                time.sleep(0.02)
        return score(batch)

    built = caches.build(made, teacher, caches.accept, deadline, show)
    facts = RunFacts.of(built, made.made)
    run._note_run(options.root, facts)
    return facts


def misbehave(how: str | None) -> None:
    if how == "torn":
        (channel,) = (fd for fd in range(3, 20) if _is_pipe(fd))
        os.write(channel, b'{"type": "Scored", "ro')
    if how in ("kill", "torn"):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "crash":
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if how == "fail":
        raise WeakTeacherError("tiny on validation", expected="0.8", found="0.5", do="use another")


def _is_pipe(descriptor: int) -> bool:
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name.startswith("pipe:")
    except OSError:
        return False


def _started(root: Path) -> int:
    """Note this start beside the cache; how often this rank has started."""
    rank = os.environ["LOCAL_RANK"]
    with root.with_name(f"{root.name}.starts").open("a") as log:
        log.write(f"{rank} {os.getpid()}\n")
    return sum(line.startswith(f"{rank} ") for line in _starts(root))


def _starts(root: Path) -> list[str]:
    return root.with_name(f"{root.name}.starts").read_text().splitlines()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        worker.run_builder = run_builder  # type: ignore[assignment]
        sys.exit(worker.main())
    processes.WORKER = "tests.teacher_cache.quick"
    command.main(cache_teacher)
