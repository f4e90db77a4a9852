"""Which weights a run keeps, when it validates, and when it ends; the same after any stop."""

from __future__ import annotations

import json
import logging
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mixkd.shared.command import Terminated
from mixkd.shared.errors import DataError, StateError, UsageError
from mixkd.student_train import checkpoints
from mixkd.student_train.evaluate import evaluation
from mixkd.student_train.order import Order
from mixkd.student_train.prepare import steps_between_validations
from mixkd.student_train.report import closing, table
from mixkd.student_train.train import train
from tests.student_train.caches import make_cache
from tests.student_train.test_processes import assert_same_weights, without_dropout
from tests.student_train.test_train import options, stop_at, weights

Script = Callable[[list[float]], None]
PER_EPOCH = 5  # steps


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Let the accuracies of the next validations be these."""

    def script(values: list[float]) -> None:
        given: Iterator[float] = iter(values)

        def scripted(*arguments: Any) -> dict[str, float]:
            return evaluation(*arguments) | {"accuracy": next(given)}

        monkeypatch.setattr("mixkd.student_train.validate.evaluation", scripted)

    return script


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def test_the_best_weights_are_kept_and_reported_whatever_stops_the_run(
    cache: Path, tmp_path: Path, scores: Script
) -> None:
    script = [0.5, 0.75, 0.75, 0.6]
    scores(script)
    best = train(options(cache, tmp_path / "best", epochs=4))
    scores(script)
    last = train(options(cache, tmp_path / "last", epochs=4, keep="last"))
    assert best is not None and last is not None
    assert (best.kept.step, best.kept.epoch, best.score) == (10, 2.0, 0.75), "of equals the earlier"
    assert (last.kept.step, last.best.step, last.score) == (20, 10, 0.6)
    assert best.metrics == best.history[1].metrics and last.metrics == last.history[3].metrics
    assert "weights of epoch 2 (best)" in str(table(best).title)
    assert "weights of epoch 2 (best)" in (tmp_path / "best" / "README.md").read_text()
    assert "weights of epoch 4 (last)" in (tmp_path / "last" / "README.md").read_text()

    scores(script)
    out = tmp_path / "stopped"
    for resume, step in enumerate((10, 13, 20)):
        with pytest.raises(Terminated):
            train(options(cache, out, epochs=4, resume=resume > 0), stop_at(step, signal.SIGTERM))
        newest = checkpoints.newest(out)
        assert newest is not None
        kept = torch.load(newest / checkpoints.BEST, weights_only=True)
        if step == 10:
            model = torch.load(newest / checkpoints.MODEL, weights_only=True)
            assert same(model, kept)
    train(options(cache, out, epochs=4, resume=True))
    found = weights(out)
    assert same(found, weights(tmp_path / "best"))
    assert same(found, {name.removeprefix("model."): value for name, value in kept.items()})
    assert not same(found, weights(tmp_path / "last"))


@pytest.mark.parametrize("damage", ["absent", "cut", "other"])
def test_best_weights_that_are_damaged_are_named(cache: Path, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "student"
    with pytest.raises(Terminated):
        train(options(cache, out), stop_at(5, signal.SIGTERM))
    newest = checkpoints.newest(out)
    assert newest is not None
    file = newest / checkpoints.BEST
    if damage == "other":
        shutil.copy(newest / checkpoints.OPTIMIZER, file)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-30])
    else:
        file.unlink()
    with pytest.raises(StateError, match="expected the files of a checkpoint"):
        train(options(cache, out, resume=True))


def test_patience_ends_a_run_and_its_rates_stay_those_of_the_plan(
    cache: Path, tmp_path: Path, scores: Script
) -> None:
    script = [0.5, 0.75, 0.7, 0.75, 0.9]
    scores(script)
    patient = options(cache, tmp_path / "one", epochs=5, patience=2)
    result = train(patient)
    assert result is not None
    assert (result.steps, result.planned_steps) == (20, 25)
    assert result.kept.step == 10 and len(result.history) == 4
    assert result.mixes_trained == 160, "mixes of the steps that were made"
    assert "ended early: step 20 of 25, the best was step 10" in closing(result)
    scores(script)
    whole = train(options(cache, tmp_path / "two", epochs=5))
    assert whole is not None and whole.kept.step == 25
    assert whole.history[:4] == result.history

    scores(script)
    for resume, step in enumerate((7, 20)):
        changes: dict[str, Any] = {"epochs": 5, "patience": 2, "resume": resume > 0}
        with pytest.raises(Terminated):
            train(options(cache, tmp_path / "three", **changes), stop_at(step, signal.SIGTERM))
    again = train(options(cache, tmp_path / "three", epochs=5, patience=2, resume=True))
    assert again is not None and again.history == result.history
    assert same(weights(tmp_path / "three"), weights(tmp_path / "one"))


def test_validations_within_an_epoch_and_a_last_step_within_one(
    cache: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"eval_steps": 3, "max_steps": 8, "epochs": 1}
    result = train(options(cache, tmp_path / "one", **changes))
    assert result is not None
    assert [entry.step for entry in result.history] == [3, 6, 8]
    assert [entry.epoch for entry in result.history] == [0.6, 1.2, 1.6]
    assert result.steps == result.planned_steps == 8
    assert result.settings.eval_steps == 3 and result.settings.max_steps == 8
    for resume, step in enumerate((4, 7)):
        with pytest.raises(Terminated):
            train(
                options(cache, tmp_path / "two", resume=resume > 0, **changes),
                stop_at(step, signal.SIGTERM),
            )
    again = train(options(cache, tmp_path / "two", resume=True, **changes))
    assert again is not None and again.history == result.history
    assert again.mixes_trained == result.mixes_trained == 64
    assert same(weights(tmp_path / "one"), weights(tmp_path / "two"))


@pytest.mark.parametrize(
    ("examples", "ratio", "validated", "epochs"),
    [(75, 0.0, 1064, 15), (75, 1.0, 1064, 8), (747, 1.0, 1064, 1), (100, 0.0, 100, 1)],
)
def test_validation_costs_no_more_rows_than_training(
    examples: int, ratio: float, validated: int, epochs: int
) -> None:
    order = Order(examples, ((0, 10**6),), 32, ratio, 0)
    steps = steps_between_validations(order, validated)
    assert steps == epochs * order.steps_per_epoch
    trained = epochs * (examples + order.pairs_per_epoch)
    assert validated <= trained < validated + examples + order.pairs_per_epoch


def test_a_step_in_parts_trains_the_same_student(cache: Path, tmp_path: Path) -> None:
    start = str(without_dropout(cache, tmp_path / "start"))
    for parts in (1, 3):
        out = tmp_path / str(parts)
        result = train(options(cache, out, student=start, gradient_accumulation=parts))
        assert result is not None and result.settings.gradient_accumulation == parts
    assert_same_weights(tmp_path / "3", tmp_path / "1")


def test_a_shorter_length_cuts_as_the_tokenizer_does(cache: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, pipeline

    out = tmp_path / "student"
    result = train(options(cache, out, max_length=6, epochs=1))
    assert result is not None and result.settings.max_length == 6
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.model_max_length == 6
    assert len(tokenizer("film " * 50, truncation=True)["input_ids"]) == 6
    classify = pipeline("text-classification", str(out), device="cpu")
    assert classify("film " * 5000, truncation=True)[0]["label"] in ("dull", "bright")
    with pytest.raises(UsageError, match="--max-length: expected at most 64.* found 65"):
        train(options(cache, tmp_path / "longer", max_length=65))


def test_a_shorter_length_needs_texts(good_teacher: Path, tmp_path: Path) -> None:
    root = make_cache(tmp_path / "silent", good_teacher, text=False)
    with pytest.raises(DataError, match="expected texts, .* smaller --max-length"):
        train(options(root, tmp_path / "student", max_length=6))


def test_a_student_without_a_clue_says_so(
    cache: Path, tmp_path: Path, scores: Script, caplog: pytest.LogCaptureFixture
) -> None:
    scores([0.5, 0.55])
    result = train(options(cache, tmp_path / "student", method="kd"))
    assert result is not None and not result.verdict.better
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("NO BETTER than always answering" in message for message in warned)
    assert closing(result)[0].startswith("WARNING: the student is NO BETTER")
    found = json.loads((tmp_path / "student" / "metrics.json").read_text())
    assert found["verdict"]["better"] is False and found["verdict"]["advice"]
