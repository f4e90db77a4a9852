"""Loads students from caches in forked children with little memory and time, as `train-student`.

    python -m tests.hostile.student_opener GOOD_CACHE… < lines of "bytes path"

Prints a line of JSON per line of input: the error's class and text (null where a student was
loaded), or the signal that ended the child, and the calls that a file from others must not cause.
Everything is imported before the first fork, torch and transformers too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from mixkd.shared.cache.reader import Cache
from mixkd.student_train.student import Start, load
from tests.hostile import opener

SECONDS = 30
ROWS = 16
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


def load_student(root: Path) -> None:
    cache = Cache.open(root)
    cache.check_alignment()
    tokenise(load(cache, None, None, seed=0))


def tokenise(start: Start) -> None:
    """Tokenise stored texts, in the memory and time that are left: patterns act only now.

    That a tokenizer fails is for whoever tokenises to name.
    """
    for examples in start.examples.values():
        texts = examples.text_a.slice(0, ROWS).to_pylist() if examples.text_a else []
        try:
            start.tokenizer(texts, truncation=True, max_length=64)
        except MemoryError:
            raise
        except BaseException as error:
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise


def attempt(root: Path) -> dict[str, Any]:
    os.dup2(2, 1)  # Rust code prints warnings to stdout
    calls: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            calls.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(hook)
    found = opener.attempt(load_student, root)
    return {**found, "calls": calls}


if __name__ == "__main__":
    # Loading good students first imports what is imported late.
    for good in sys.argv[1:]:
        load_student(Path(good))
    opener.serve(attempt, SECONDS)
