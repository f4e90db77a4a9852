"""The command that options stand for: what can be run again, without local paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mixkd.shared.invocation import command_line


@dataclass
class Options:
    task: str
    cache: str | Path | tuple[Path, ...] = ()
    label_names: tuple[str, ...] = ()
    data: object = None
    rate: float = 5e-5
    text: bool = True
    resume: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options("rte"), "--task rte"),
        (Options("a b", cache=Path("shards/rte")), "--task 'a b' --cache shards/rte"),
        (
            Options("t", cache=(Path("/home/jo/one"), Path("../two"))),
            "--task t --cache one --cache two",
        ),
        (Options("t", label_names=("no", "yes"), rate=1e-4), "--label-names no,yes --rate 0.0001"),
        (Options("t", data="~/secret/data.csv"), "--task t --data data.csv"),
        (Options("t", data={1: 2}), "--task t --data dict"),
        (Options("t", text=False, resume=True), "--task t --no-text"),
        (Options("t", weights={"kd": 0.5}), "--task t --alpha-kd 0.5"),
        (Options("t\x1b"), r"--task 't\x1b'"),
    ],
)
def test_options_that_are_not_at_their_defaults(options: Options, words: str) -> None:
    found = command_line(
        "do it", options, left_out=("resume",), repeated=("cache",), prefixes={"weights": "alpha_"}
    )
    assert found.startswith("do it --task ")
    assert words in found
    assert "secret" not in found
    assert "home" not in found


def test_places_are_kept_for_a_file_that_stays_with_its_user() -> None:
    options = Options("t", cache="/home/jo/my data", label_names=("a",))
    words = "x --task t --cache '/home/jo/my data' --label-names a"
    assert command_line("x", options, with_places=True) == words


def test_data_in_memory_are_named_by_their_type() -> None:
    assert command_line("x", Options("t", data=object())) == "x --task t --data object"
