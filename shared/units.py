"""Sizes and durations as people say them."""

from __future__ import annotations

UNITS = ("B", "KiB", "MiB", "GiB")


def size(count: float) -> str:
    """Show a number of bytes: 812 B, 5.9 KiB, 67.6 MiB, 1.2 GiB."""
    step = 0
    while count >= 1024 and step < len(UNITS) - 1:
        count, step = count / 1024, step + 1
    return f"{count:,.1f} {UNITS[step]}" if step else f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Show seconds: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
