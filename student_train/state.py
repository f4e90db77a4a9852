"""Where a run stands, and what it has done: what a checkpoint says beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from mixkd.shared.errors import StateError
from mixkd.shared.json_values import Count, Sha256
from mixkd.shared.models.speed import Speed
from mixkd.student_train.results import Validated


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a run stands: `step` steps of `epoch` are done.

    Attributes:
        seal: Digest of the seal that the run reads.
        settings: sha256 of everything that shapes the run.
    """

    seal: Sha256
    settings: Sha256
    epoch: Count
    step: Count

    def to_bytes(self) -> bytes:
        """Return the state as JSON; equal states give equal bytes."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, where: object) -> State:
        """Return the state that `to_bytes` wrote.

        Raises:
            StateError: If it wrote nothing like that.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except (ValueError, RecursionError) as error:
            raise StateError(
                where,
                expected="a state that train-student wrote",
                found=str(error)[:120],
                do="remove this checkpoint to start again",
            ) from None

    def check(self, settings: str, steps: int, steps_per_epoch: int, where: object) -> None:
        """Refuse a state of different settings, or at a step that the run does not have.

        Raises:
            StateError: Naming both.
        """
        if self.settings != settings:
            raise StateError(
                where,
                expected=f"a run with these settings ({settings[:12]})",
                found=f"a state of different settings ({self.settings[:12]})",
                do="resume with the options it began with, or choose another --out",
            )
        done = self.epoch * steps_per_epoch + self.step
        if self.step > steps_per_epoch or done > steps:
            raise StateError(
                where,
                expected=f"at most {steps} steps, {steps_per_epoch} per epoch",
                found=f"epoch {self.epoch}, step {self.step}",
                do="start again with another --out",
            )


@dataclass(slots=True)
class Run:
    """What a run has done so far, beside weights and state.

    Attributes:
        seals: Digests of the seals that it reads, one per cache.
        settings: What a resumed run must have in common, as JSON values.
        processes: How many wrote this checkpoint, and on which kind of `device`.
        history: One entry per validation.
        mixes: Rows of mixes that were trained on.
        speed: Measured at the end, before the student is put in place, so that whoever resumes
            there writes the same files.
        seconds: Spent before this checkpoint.
    """

    seals: list[str]
    settings: dict[str, Any]
    processes: int
    device: str
    history: list[Validated] = field(default_factory=list)
    mixes: int = 0
    speed: Speed | None = None
    seconds: float = 0.0

    def check(self, settings: dict[str, Any], where: object) -> None:
        """Refuse to continue with different settings.

        Raises:
            StateError: Naming those that differ.
        """
        names = sorted(self.settings.keys() | settings.keys())
        differing = [name for name in names if self.settings.get(name) != settings.get(name)]
        if differing:

            def listed(values: dict[str, Any]) -> str:
                return ", ".join(f"{name} {values.get(name)}" for name in differing)

            raise StateError(
                where,
                expected=f"the settings that the run began with: {listed(self.settings)}",
                found=listed(settings),
                do="resume with the options it began with, or choose another --out",
            )


@dataclass(slots=True)
class Position:
    """Where a run is now: `step` steps of `epoch` are done."""

    epoch: int
    step: int
    steps_per_epoch: int

    @property
    def done(self) -> int:
        """Steps since the run began."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def passes(self) -> float:
        """Passes over the train split since the run began."""
        return round(self.done / self.steps_per_epoch, 4)

    def end_epoch(self) -> bool:
        """Go on to the next epoch after the last step of this one; return whether it was."""
        if self.step < self.steps_per_epoch:
            return False
        self.epoch, self.step = self.epoch + 1, 0
        return True
