"""Loads students from caches in forked children with little memory and time, as `train-student`.

    python -m tests.hostile.student_opener GOOD_CACHE < lines of "bytes path"

Prints a line of JSON per line of input: the error's class and text (null where a student was
loaded), or the signal that ended the child, and the calls that a file from others must not cause.
Everything is imported before the first fork, torch and transformers too.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from shared.errors import CacheError
from student_train.opening import open_caches
from student_train.student import load
from tests.hostile.opener import anonymous_bytes

SECONDS = 30
# Unpickling, other programs and the network; a model needs none of them.
FORBIDDEN = (
    "pickle.find_class",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "socket.connect",
    "socket.getaddrinfo",
)


def attempt(root: Path) -> dict[str, Any]:
    calls: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            calls.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(hook)
    try:
        load(open_caches([root], None, None)[0], None, None, seed=0)
    except CacheError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    except BaseException as error:  # what no reader may raise is reported, not hidden
        found = {"error": f"not a CacheError: {type(error).__name__}", "text": str(error)[:500]}
    else:
        found = {"error": None, "text": ""}
    return {**found, "calls": calls}


def attempt_in_child(root: Path, memory_bytes: int) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)  # Rust code prints warnings to stdout
        limit = anonymous_bytes() + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        signal.alarm(SECONDS)
        os.write(write_end, json.dumps(attempt(root)).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0 or not said:
        return {"error": f"exit {status}", "text": "", "calls": []}
    found: dict[str, Any] = json.loads(said)
    return found


if __name__ == "__main__":
    # Loading a good student first imports what is imported late.
    load(open_caches([Path(sys.argv[1])], None, None)[0], None, None, seed=0)
    for line in sys.stdin:
        memory_bytes, path = line.rstrip("\n").split(" ", 1)
        print(json.dumps(attempt_in_child(Path(path), int(memory_bytes))), flush=True)
