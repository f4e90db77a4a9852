"""What the processes of one run do together: they all go on, or all fail with the same error.

A process that failed alone would leave the others waiting for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from accelerate.utils import gather_object

from mixkd.shared.errors import MixkdError, StateError

Value = TypeVar("Value")


def together(accelerator: Any, work: Callable[[], Value]) -> Value:
    """Do something in every process, and wait until all have done it.

    Raises:
        MixkdError: In every process, if it was raised in one.
    """
    if accelerator.num_processes == 1:
        return work()
    failure: Exception | None = None
    try:
        value = work()
    except Exception as error:
        failure = error
    failures: list[MixkdError | None] = gather_object([_named(accelerator, failure)])
    if failure is not None:
        raise failure
    for other in filter(None, failures):
        raise other
    return value


def by_main(accelerator: Any, work: Callable[[], object]) -> None:
    """Do something in the main process while the others wait.

    Raises:
        MixkdError: In every process, if the main one raised it.
    """
    together(accelerator, lambda: work() if accelerator.is_main_process else None)


def main_first(accelerator: Any, work: Callable[[], Value]) -> Value:
    """Do something in the main process, then in the others, which may find what it left on disk.

    Raises:
        MixkdError: In every process, if it was raised in one.
    """
    first = together(accelerator, lambda: [work()] if accelerator.is_main_process else [])
    second = together(accelerator, lambda: [] if accelerator.is_main_process else [work()])
    [value] = first + second
    return value


def agree(accelerator: Any, values: Mapping[str, object]) -> None:
    """Check that all processes go on from the same values.

    Raises:
        StateError: In every process, naming the first value that differs.
    """
    if accelerator.num_processes == 1:
        return
    of_each: list[dict[str, object]] = gather_object([dict(values)])
    for rank, theirs in enumerate(of_each):
        for name, value in of_each[0].items():
            if theirs[name] != value:
                raise StateError(
                    f"process {rank}",
                    expected=f"{name} {value}, as in process 0",
                    found=theirs[name],
                    do="give all nodes the same caches, and --out on a disk that they share",
                )


def _named(accelerator: Any, failure: Exception | None) -> MixkdError | None:
    if failure is None or isinstance(failure, MixkdError):
        return failure
    return StateError(
        f"process {accelerator.process_index}",
        expected="it to go on",
        found=f"{type(failure).__name__}: {str(failure)[:200]}",
        do="look at its own message",
    )
