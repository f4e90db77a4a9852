"""Reads caches in forked children with little memory and time, and says what became of each.

    python -m tests.hostile.opener GOOD_CACHE < lines of "bytes path"

Prints a line of JSON per line of input: the error's class and text (null where the cache was read),
or the signal that ended the child. Everything is imported before the first fork.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixkd.shared.errors import MixkdError
from tests.faults.reading import read_all

SECONDS = 50
CPU_SECONDS = 10
CHECKOUT = Path(__file__).resolve().parents[2]
Open = Callable[[Path, int], dict[str, Any]]


def anonymous_bytes() -> int:
    """The process's private data, which RLIMIT_DATA limits."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))


@contextmanager
def limited_memory(memory_bytes: int) -> Iterator[None]:
    """Only while a case is read: what the request itself takes is not the reader's."""
    unlimited = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (anonymous_bytes() + memory_bytes, unlimited[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, unlimited)


@contextmanager
def opening(module: str, *goods: Path) -> Iterator[Open]:
    """A process of this module, or of one like it: cache, bytes of memory -> what became of it."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, goods)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    ) as opener:
        assert opener.stdin is not None and opener.stdout is not None
        stdin, stdout = opener.stdin, opener.stdout

        def open_one(root: Path, memory_bytes: int) -> dict[str, Any]:
            stdin.write(f"{memory_bytes} {root}\n")
            stdin.flush()
            found: dict[str, Any] = json.loads(stdout.readline())
            return found

        yield open_one
        stdin.close()


def attempt(read: Callable[[Path], object], root: Path) -> dict[str, Any]:
    try:
        read(root)
    except MixkdError as error:
        return {"error": type(error).__name__, "text": str(error)}
    except BaseException as error:  # what no reader may raise is reported, not hidden
        return {"error": f"not a MixkdError: {type(error).__name__}", "text": str(error)[:500]}
    return {"error": None, "text": ""}


def attempt_in_child(
    run: Callable[[Path], dict[str, Any]], root: Path, memory_bytes: int, seconds: int
) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        limit = anonymous_bytes() + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        signal.alarm(seconds)
        os.write(write_end, json.dumps(run(root)).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0 or not said:
        return {"error": f"exit {status}", "text": ""}
    found: dict[str, Any] = json.loads(said)
    return found


def serve(run: Callable[[Path], dict[str, Any]], seconds: int) -> None:
    for line in sys.stdin:
        memory_bytes, path = line.rstrip("\n").split(" ", 1)
        found = attempt_in_child(run, Path(path), int(memory_bytes), seconds)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    # Reading a good cache first imports what is imported late.
    read_all(Path(sys.argv[1]))
    serve(lambda root: attempt(read_all, root), SECONDS)
