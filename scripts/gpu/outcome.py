"""How a step says that it failed, or that it was not tested."""

from __future__ import annotations


class NotTested(Exception):  # noqa: N818
    """A step that this machine cannot take, or has no time for."""


class Failed(Exception):  # noqa: N818
    """A step whose promise does not hold."""


def require(holds: bool, otherwise: str) -> None:
    """Fail the step unless a condition holds."""
    if not holds:
        raise Failed(otherwise)
