"""Sizes and durations as people read them."""

import pytest

from mixkd.shared.units import duration, size


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (6000, "5.9 KiB"),
        (70_894_170, "67.6 MiB"),
        (2**42, "4,096.0 GiB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (89, "89 s"), (720, "12 min"), (12_240, "3.4 h")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
