"""Removing shards that no record names, while builders may be about to name them."""

from __future__ import annotations

import os

from mixkd.shared import publish
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.records import record_of
from mixkd.shared.errors import MissingFileError, MixkdError


def discard_shard(folder: CacheFolder, file: str) -> None:
    """Remove a shard unless its record names it.

    A builder publishes its shard, then the record, then looks whether its shard is still there; and
    what is removed is put aside before its record is looked for. So, however long one of the two
    stands still in between, no record is left without its shard.
    """
    disk, aside = publish.Root(folder.root), publish.temporary_name(file)
    if not os.path.lexists(folder.root / file):
        return
    disk.move(file, aside)
    try:
        named = folder.record(record_of(file)).file == file
    except MissingFileError:
        named = False
    except MixkdError:
        named = True  # a record that cannot be read may name it
    if named:
        disk.move(aside, file)
    else:
        disk.remove(aside)
