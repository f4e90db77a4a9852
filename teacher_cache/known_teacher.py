"""Find again the teacher that a cache was built with, where nobody names it.

A cache names its teacher by Hub id and commit, or by the folder's own name, never by a place. So
one of the Hub is fetched at that commit, and a folder is looked for where `finetune` puts teachers
and beside the cache. Either must have the digest that the cache's identity has: no other weights
are ever loaded, whatever a cache says.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mixkd.shared import files
from mixkd.shared.cache.header import Header
from mixkd.shared.errors import MixkdError, UsageError, printable
from mixkd.shared.models.checkpoint import checkpoint_sha256
from mixkd.shared.models.locate import Checkpoint, locate
from mixkd.shared.places import HUB_ID

log = logging.getLogger(__name__)
COMMIT = re.compile(r"[0-9a-f]{7,64}")
TEACHERS = "teachers"


def known_teacher(root: Path, header: Header) -> Checkpoint:
    """Find the teacher of a cache by the name that it has there, and by its digest.

    Raises:
        UsageError: If there is none, asking for `--teacher`.
        ModelError: If the Hub does not give it out.
    """
    name, commit = (header.about.get(key) for key in ("teacher", "teacher_revision"))
    for checkpoint in _candidates(root, name, commit):
        with suppress(MixkdError):
            if checkpoint_sha256(checkpoint) == header.identity.teacher.sha256:
                log.info("teacher: %s, as the cache names it", printable(checkpoint.name))
                return checkpoint
    raise UsageError(
        "--teacher",
        expected=f"the teacher that {root} was built with, which is called {name}",
        found="none of that name here with the same weights",
        do="name its folder or Hub id",
    )


def _candidates(root: Path, name: object, commit: object) -> Iterator[Checkpoint]:
    if not isinstance(name, str) or not name or name in (".", ".."):
        return
    if isinstance(commit, str):
        if HUB_ID.fullmatch(name) and COMMIT.fullmatch(commit):
            yield locate(name, commit)
    elif not {*"/\\\0"} & {*name}:
        for above in (Path(TEACHERS), Path(), root.resolve().parent):
            if files.is_folder(above / name):
                yield locate(str(above / name))
