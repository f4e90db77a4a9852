"""What a build returns: the cache in numbers, and what this run added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec

from mixkd.shared.cache.facts import CacheFacts
from mixkd.shared.cache.records import Made
from mixkd.teacher_cache.build import Built


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What one run of the builder did, and what its teacher costs; kept under `runs/`.

    Attributes:
        parameters, latency_ms: Of the teacher, the milliseconds of one example alone; None where
            the logits were given.
    """

    rows: int
    rows_lost: int
    seconds: float
    rows_per_second: float
    complete: bool
    made: Made
    parameters: int | None = None
    latency_ms: float | None = None

    @classmethod
    def of(cls, built: Built, made: Made) -> RunFacts:
        """Return the facts about a pass."""
        rate = round(built.rows / built.seconds, 3)
        seconds = round(built.seconds, 3)
        return cls(built.rows, built.rows_lost, seconds, rate, built.complete, made)

    @classmethod
    def together(cls, runs: Sequence[RunFacts], rows: int) -> RunFacts:
        """Return the facts about builders that worked beside each other, of at least one.

        Args:
            rows: What was committed while they ran, also by those that were killed.
        """
        seconds = max(run.seconds for run in runs)
        devices = ", ".join(dict.fromkeys(run.made.device for run in runs))
        return replace(
            runs[0],
            rows=rows,
            rows_lost=sum(run.rows_lost for run in runs),
            seconds=seconds,
            rows_per_second=round(rows / seconds, 3) if seconds else 0.0,
            complete=any(run.complete for run in runs),
            made=msgspec.structs.replace(runs[0].made, device=devices),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain: dict[str, Any] = msgspec.to_builtins(asdict(self))
        return plain


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A cache in numbers, and what this run added; `run` is None where nothing was missing."""

    cache: CacheFacts
    run: RunFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: the cache's, and the run's under `run`."""
        run = {"run": self.run.to_json()} if self.run else {}
        return {**self.cache.to_json(), **run}
