"""A state is exactly itself, or refused by name."""

from __future__ import annotations

import json

import pytest

from mixkd.shared.errors import StateError
from mixkd.student_train.state import State

STATE = State(seal="a" * 64, settings="b" * 64, epoch=2, step=7)


def test_state_round_trip() -> None:
    assert State.from_bytes(STATE.to_bytes(), "state.json") == STATE


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"more": 1}, "unknown field `more`"),
        ({"seal": "a" * 63}, "regex"),
        ({"settings": None}, "Expected `str`, got `null`"),
        ({"epoch": -1}, "Expected `int` >= 0"),
        ({"step": True}, "Expected `int`, got `bool`"),
        ({"step": 1.0}, "Expected `int`, got `float`"),
    ],
)
def test_states_that_no_run_writes(changes: dict[str, object], found: str) -> None:
    value = {"seal": "a" * 64, "settings": "b" * 64, "epoch": 2, "step": 7, **changes}
    with pytest.raises(StateError, match=rf"^state\.json: expected .*, found .*{found}"):
        State.from_bytes(json.dumps(value).encode(), "state.json")


def test_a_state_of_different_settings_or_of_a_missing_step() -> None:
    STATE.check("b" * 64, steps=27, steps_per_epoch=10, where="state.json")
    STATE.check("b" * 64, steps=21, steps_per_epoch=7, where="state.json")
    with pytest.raises(StateError, match=r"settings \(cccccccccccc\), found a state of different"):
        STATE.check("c" * 64, steps=30, steps_per_epoch=10, where="state.json")
    for steps, per_epoch in ((10, 10), (18, 6), (26, 10)):
        with pytest.raises(StateError, match="found epoch 2, step 7"):
            STATE.check("b" * 64, steps=steps, steps_per_epoch=per_epoch, where="state.json")
