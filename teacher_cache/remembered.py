"""`mixkd.json`: what the folder of a fine-tuned teacher remembers of its data.

    cache-teacher finetune --task bank --data bank.csv --text-columns utterance --model …
    cache-teacher --task bank --teacher teachers/bank --pairs 1000    # the same data and columns

It lies beside the weights, is covered by no digest, and is never copied into a cache: places are in
it as the user named them.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from mixkd.shared import files
from mixkd.shared.errors import MalformedError
from mixkd.teacher_cache.data.tasks import TASKS
from mixkd.teacher_cache.options import BuildOptions

log = logging.getLogger(__name__)
MEMORY_FILE = "mixkd.json"
LIMIT_BYTES = 2**20
SPLITS = ("train_split", "validation_split")


class Remembered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a teacher was fine-tuned on, as it was asked for.

    Attributes:
        data: As it was named; None for GLUE's own or for an object in memory.
        command: The command line that does the same again.
    """

    task: str
    data: str | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    label_names: tuple[str, ...] = ()
    max_length: int = 128
    seed: int = 0
    subset: float = 1.0
    command: str = ""
    train_split: str | None = None
    validation_split: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def read_memory(folder: Path) -> Remembered | None:
    """Read what a teacher's folder remembers; None if it has no such file.

    Raises:
        MalformedError: If the file is not what `finetune` writes.
    """
    if not files.exists(folder / MEMORY_FILE):
        return None
    data = files.read(folder, MEMORY_FILE, limit_bytes=LIMIT_BYTES)
    try:
        return msgspec.json.decode(data, type=Remembered)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(
            folder / MEMORY_FILE,
            expected="what cache-teacher finetune writes",
            found=str(error)[:200],
            do="remove the file, and say --data and its columns",
        ) from None


def with_memory(options: BuildOptions) -> BuildOptions:
    """Take from the teacher's folder what the options leave out: data, splits, columns, length.

    A cache that exists has all of this itself, unless the data are to be compared with it.
    """
    exists = files.exists(options.root / "cache.json")
    if options.teacher is None or (exists and not options.names_data):
        return options
    memory = read_memory(Path(options.teacher).expanduser())
    if memory is None:
        return options
    taken: dict[str, Any] = {}
    own_data = options.data is None and (options.task == memory.task or options.task not in TASKS)
    if own_data and memory.data is not None:
        taken["data"] = memory.data
    if own_data or str(options.data) == memory.data:
        for name in ("text_columns", "label_column", "label_names", *SPLITS):
            if not getattr(options, name) and (value := getattr(memory, name)):
                taken[name] = value
    if options.max_length is None and not exists:
        taken["max_length"] = memory.max_length
    said = ", ".join(f"{name.replace('_', ' ')} {_shown(taken[name])}" for name in taken)
    log.info("as %s was fine-tuned: %s", options.teacher, said or "nothing to add")
    return replace(options, **taken)


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
