"""Commits beside the computing: one thread, shards in the order in which they were handed over."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from mixkd.shared.arrays import RowRange
from mixkd.shared.cache.codecs.base import Columns, KindName
from mixkd.shared.cache.records import Made
from mixkd.shared.cache.writer import CacheWriter

QUEUED_SHARDS = 2


class Committer:
    """Commits shards in a thread. A failure in it is raised by `put`, `wait` or the `with` block.

    Attributes:
        rows: Rows committed.
        rows_lost: Rows computed that another builder committed first.
    """

    def __init__(self, writer: CacheWriter, made: Made) -> None:
        self.rows = 0
        self.rows_lost = 0
        self._writer = writer
        self._made = made
        self._thread = ThreadPoolExecutor(1, "committer")
        self._queued: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> Committer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            # What is interrupted leaves the shards that wait for a commit to the next run; what
            # fails, such as a teacher that gives NaN, does not lose what it had computed before.
            interrupted = error is not None and not isinstance(error, Exception)
            self._thread.shutdown(wait=True, cancel_futures=interrupted)

    def put(self, kind: KindName, rows: RowRange, columns: Columns) -> None:
        """Hand over a shard; waits while two are queued."""
        while self._queued and (self._queued[0].done() or len(self._queued) >= QUEUED_SHARDS):
            self._queued.popleft().result()
        self._queued.append(self._thread.submit(self._commit, kind, rows, columns))

    def wait(self) -> None:
        """Wait until everything that was handed over is committed."""
        while self._queued:
            self._queued.popleft().result()

    def _commit(self, kind: KindName, rows: RowRange, columns: Columns) -> None:
        if self._failed:
            return
        self._failed = True
        first = self._writer.commit(kind, rows, columns, self._made)
        self._failed = False
        if first:
            self.rows += rows[1] - rows[0]
        else:
            self.rows_lost += rows[1] - rows[0]
