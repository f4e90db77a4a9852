"""A first signal is noted, a second one acts, and afterwards signals are whose they were."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from mixkd.student_train.interrupt import SIGNALS, Interruption

ALONE = SimpleNamespace(num_processes=1)


@pytest.fixture
def received() -> Iterator[list[int]]:
    """The signals that came through; without a handler a background job would ignore Ctrl-C."""
    numbers: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: numbers.append(number))
        for number in SIGNALS
    }
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_acts_at_once(number: signal.Signals, received: list[int]) -> None:
    with Interruption(ALONE) as stop:
        assert not stop.requested()
        signal.raise_signal(number)
        assert stop.requested()
        assert received == []
        signal.raise_signal(number)
        assert received == [number]


def test_handlers_are_put_back(received: list[int]) -> None:
    with Interruption(ALONE):
        pass
    for number in SIGNALS:
        signal.raise_signal(number)
    assert received == list(SIGNALS)
