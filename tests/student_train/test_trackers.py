"""What trackers are given: the run's names, its settings and values, files outside its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import accelerate.tracking
import pytest

from mixkd.shared.errors import UsageError
from mixkd.shared.trackers import Tracking, check_trackers
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.train import train
from mixkd.teacher_cache.finetune import FinetuneOptions, finetune

NAMES = {"project": "films", "run_name": "first", "group": "small", "tags": ("a", "b")}


class Stub:
    """A tracker that remembers what it is given, in place of one that is not installed."""

    name = "stub"
    requires_logging_directory = False
    made: list[Stub]

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.arguments, self.more = arguments, more
        self.started = self.finished = False
        self.config: dict[str, Any] = {}
        self.values: list[tuple[int, dict[str, float]]] = []
        self.made.append(self)

    def start(self) -> None:
        self.started = True

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        self.config = dict(values)

    def log(self, values: Mapping[str, float], step: int, **more: Any) -> None:
        self.values.append((step, dict(values)))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> list[Stub]:
    """The trackers that were made, whatever they were called."""
    made: list[Stub] = []
    kind = type("Stub", (Stub,), {"made": made})
    known = accelerate.tracking.LOGGER_TYPE_TO_CLASS
    monkeypatch.setattr(accelerate.tracking, "LOGGER_TYPE_TO_CLASS", dict.fromkeys(known, kind))
    monkeypatch.setattr(accelerate.tracking, "get_available_trackers", lambda: [*known])
    return made


@pytest.mark.parametrize(
    ("name", "arguments", "more"),
    [
        ("tensorboard", ("films/small/first", "LOGS"), {}),
        (
            *("wandb", ("films",)),
            {"name": "first", "group": "small", "tags": ["a", "b"], "dir": "LOGS"},
        ),
        ("trackio", ("films",), {"name": "first", "group": "small"}),
        (
            *("mlflow", ("films", "URI")),
            {"run_name": "first", "tags": {"group": "small", "a": "true", "b": "true"}},
        ),
        ("comet_ml", ("films",), {}),
    ],
)
def test_each_tracker_gets_the_names_it_has_a_place_for(
    stubs: list[Stub], tmp_path: Path, name: str, arguments: tuple[Any, ...], more: dict[str, Any]
) -> None:
    (made,) = Tracking(tmp_path / "x/student", (name,), **NAMES).start({"seed": 1, "weights": {}})  # type: ignore[arg-type]
    logs = tmp_path / "x/logs"
    places = {str(logs): "LOGS", (logs / "mlflow").as_uri(): "URI"}

    def shown(value: Any) -> Any:
        return places.get(str(value), value)

    assert tuple(map(shown, made.arguments)) == arguments
    assert {key: shown(value) for key, value in made.more.items()} == more
    assert made.started
    assert made.config == {"seed": 1, "run_name": "first", "group": "small", "tags": "a, b"}


def test_a_students_run_is_tracked(cache: Path, stubs: list[Stub], tmp_path: Path) -> None:
    out = tmp_path / "student"
    train(
        TrainOptions(
            cache=cache,
            out=out,
            epochs=2,
            batch_size=8,
            log_steps=2,
            **{"device": "cpu", "track": ("wandb", "mlflow"), **NAMES},
        )
    )
    assert [stub.started and stub.finished for stub in stubs] == [True, True]
    steps = [step for step, _ in stubs[0].values]
    assert steps == sorted(steps)
    assert {"loss", "learning_rate", "validation/accuracy"} <= {
        key for _, values in stubs[0].values for key in values
    }
    assert stubs[0].config["epochs"] == 2
    assert not (out / "logs").exists()


def test_a_fine_tuning_is_tracked(
    good_teacher: Path, data: Path, stubs: list[Stub], tmp_path: Path
) -> None:
    out = tmp_path / "teacher"
    shared = {"task": "t", "data": data, "model": str(good_teacher), "out": out, "epochs": 2}
    shared |= {"max_length": 16}
    finetune(FinetuneOptions(**shared, track=("trackio",)))  # type: ignore[arg-type]
    (stub,) = stubs
    assert stub.finished and stub.more["name"] == "teacher"
    epochs = [values["epoch"] for _, values in stub.values if "epoch" in values]
    assert epochs == [1, 2]
    assert stub.values[-1][1]["validation/accuracy"] > 0.5


def test_tensorboard_itself(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    out = tmp_path / "students/first"
    train(TrainOptions(cache=cache, out=out, epochs=1, device="cpu", track=("tensorboard",)))
    assert list((tmp_path / "students/logs/mixkd/first").glob("events.*"))


def test_a_tracker_that_is_not_installed_is_named() -> None:
    with pytest.raises(UsageError, match="--track: expected .* found ledger, which is unknown"):
        check_trackers(["ledger"])
    check_trackers([])
