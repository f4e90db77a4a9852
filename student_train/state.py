"""Where a run stands: a few integers, and what they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from mixkd.shared.errors import StateError
from mixkd.shared.json_values import Count, Sha256


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

    def check(self, settings: str, epochs: int, steps_per_epoch: int, where: object) -> None:
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
        if self.step > steps_per_epoch or done > epochs * steps_per_epoch:
            raise StateError(
                where,
                expected=f"at most {epochs} epochs of {steps_per_epoch} steps",
                found=f"epoch {self.epoch}, step {self.step}",
                do="start again with another --out",
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
