"""Commits: a shard, then its record, each published whole, in a thread beside the computing."""

from __future__ import annotations

import contextlib
import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from mixkd.shared import publish
from mixkd.shared.cache import codecs as shards
from mixkd.shared.cache.header import CacheFile, Identity
from mixkd.shared.cache.layout import Columns, columns_equal
from mixkd.shared.cache.reader import read_record
from mixkd.shared.cache.seal import Record, record_name, shard_name
from mixkd.shared.canonical import sha256_hex
from mixkd.shared.errors import DiskError, OutputError
from mixkd.shared.examples import Examples

SECONDS_BETWEEN_LOOKS = 0.2
QUEUED_SHARDS = 2


def create_cache(
    root: Path, file: CacheFile, examples: dict[str, Examples], files: dict[str, bytes]
) -> None:
    """Publish what all shards refer to, each file exclusively, `cache.json` last."""
    tables = {f"examples/{split}.arrow": rows.to_bytes() for split, rows in examples.items()}
    for name, data in {**tables, **files, "cache.json": file.to_bytes()}.items():
        publish.folder((root / name).parent)
        if name.count("/") > 1:
            # A killed build may have made the folder and not synced the one that holds it.
            publish.sync_folder((root / name).parent.parent)
        there = publish.create(root / name, data)
        if there is None or there == data:
            continue
        if name != "cache.json" or not _same_identity(there, file, root):
            raise OutputError(
                root / name,
                expected="no file, or the one that this build would write",
                found="another one, from a build with other settings",
                do="choose another --out, or remove this folder if no build is running",
            )


def committed(root: Path, kind: str, identity: Identity) -> list[tuple[int, int]]:
    """The committed ranges of a kind, ascending."""
    return [(record.start, record.stop) for record in records(root, kind, identity)]


def records(root: Path, kind: str, identity: Identity) -> list[Record]:
    """All records of a kind, ascending, each checked to be of this cache."""
    names = sorted(path.name for path in (root / "commits").glob(f"{kind}-*.json"))
    found = [read_record(root, f"commits/{name}") for name in names]
    for record in found:
        check_owner(root, record, identity)
    return sorted(found, key=lambda record: record.start)


def check_owner(root: Path, record: Record, identity: Identity) -> None:
    """Refuse a record of another cache.

    Raises:
        OutputError: Naming both fingerprints.
    """
    if record.fingerprint != identity.fingerprint:
        raise OutputError(
            root / record.name,
            expected=f"a record of the cache {identity.fingerprint[:12]}",
            found=f"one of {record.fingerprint[:12]}",
            do="run: cache-teacher repair",
        )


def is_committed(root: Path, kind: str, start: int) -> bool:
    return (root / record_name(kind, start)).exists()


def commit(
    root: Path,
    file: CacheFile,
    kind: str,
    rows: tuple[int, int],
    columns: Columns,
    made: dict[str, Any],
) -> bool:
    """Publish a shard and then its record.

    Returns:
        False if another builder committed these rows first: its shard stands, this one is removed.
    """
    layout = file.identity.layout(kind, *rows)
    shard_format = file.about["shard_format"]
    data = shards.encode(shard_format, layout, columns)
    sha256 = sha256_hex(data)
    name = shard_name(kind, rows[0], sha256, shards.SUFFIXES[shard_format])

    def check(found: bytes) -> None:
        if not columns_equal(shards.decode(shard_format, layout, found, root / name), columns):
            raise DiskError(
                root / name,
                expected="the rows that were computed",
                found="other values when the shard was read back",
                do="check memory and disk; nothing was committed",
            )

    publish.folder(root / "data")
    publish.folder(root / "commits")
    publish.replace(root / name, data, check)
    record = Record(layout.fingerprint, kind, rows[0], rows[1], name, len(data), sha256, made)
    there = publish.create(root / record.name, record.to_bytes())
    if there is None:
        return True
    if Record.from_bytes(there, root / record.name).file != name:
        publish.remove(root / name)
    return False


class Committer:
    """A thread that commits shards in the order in which they are put.

    A failure in it stops the run: `put`, `wait` and leaving the `with` block raise it.
    """

    def __init__(self, root: Path, file: CacheFile, made: dict[str, Any]) -> None:
        self.rows = 0
        self.rows_lost = 0
        self.met_others = False
        self._target = (root, file, made)
        self._queue: queue.Queue[tuple[str, tuple[int, int], Columns] | None]
        self._queue = queue.Queue(QUEUED_SHARDS)
        self._failure: BaseException | None = None
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def __enter__(self) -> Committer:
        self._thread.start()
        return self

    def put(self, kind: str, rows: tuple[int, int], columns: Columns) -> None:
        while True:
            self._raise_failure()
            try:
                self._queue.put((kind, rows, columns), timeout=SECONDS_BETWEEN_LOOKS)
                return
            except queue.Full:
                continue

    def wait(self) -> None:
        """Until everything that was put is committed."""
        with self._queue.all_tasks_done:
            while self._queue.unfinished_tasks and self._failure is None:
                self._queue.all_tasks_done.wait(SECONDS_BETWEEN_LOOKS)
        self._raise_failure()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what was put; after an error, only the shard that is being written."""
        if error is None:
            self.wait()
        self._abandoned.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)  # wakes the thread
        self._thread.join()

    def _run(self) -> None:
        while not self._abandoned.is_set():
            try:
                item = self._queue.get(timeout=SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                continue
            if item is not None and self._failure is None:
                try:
                    self._commit(*item)
                except BaseException as failure:  # handed to the thread that computes
                    self._failure = failure
            self._queue.task_done()

    def _commit(self, kind: str, rows: tuple[int, int], columns: Columns) -> None:
        root, file, made = self._target
        if commit(root, file, kind, rows, columns, made):
            self.rows += rows[1] - rows[0]
        else:
            self.rows_lost += rows[1] - rows[0]
            self.met_others = True

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _same_identity(there: bytes, file: CacheFile, root: Path) -> bool:
    """Whether another builder's `cache.json` is of the same identity and cut alike."""
    other = CacheFile.from_bytes(there, root / "cache.json")
    return (other.identity, other.shard_rows) == (file.identity, file.shard_rows)
