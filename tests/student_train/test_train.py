"""The run as a whole: resume, output, what it reports, what it refuses."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mixkd.shared.cache.reader import Cache
from mixkd.shared.command import Terminated
from mixkd.shared.errors import (
    AlignmentError,
    DiskError,
    LogitsError,
    OutputError,
    StateError,
    UsageError,
)
from mixkd.student_train import checkpoints
from mixkd.student_train.evaluate import evaluation
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.train import train


def options(cache: Path, out: Path, **changes: Any) -> TrainOptions:
    usual: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "device": "cpu",
        "log_steps": 1,
        "checkpoint_steps": 3,
    }
    return TrainOptions(cache=(cache,), out=out, **(usual | changes))


def weights(out: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(out / "model.safetensors")


def stop_at(step: int, number: signal.Signals) -> Any:
    """An observer that sends this process a signal after a step."""

    def observe(done: int, losses: Mapping[str, float]) -> None:
        if done == step:
            os.kill(os.getpid(), number)

    return observe


@pytest.fixture(scope="module")
def uninterrupted(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted") / "student"
    train(options(cache, out))
    return out


def test_a_signal_during_validation_is_not_lost(
    cache: Path, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluation(*arguments)

    out = tmp_path / "student"
    with monkeypatch.context() as patched:
        patched.setattr("mixkd.student_train.validate.evaluation", interrupted)
        with pytest.raises(Terminated):
            train(options(cache, out))
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000005"]
    train(options(cache, out, resume=True))
    expected, found = weights(uninterrupted), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("stops", [[2], [5], [3, 6, 7], [1, 9, 10]])
def test_a_resumed_run_gives_the_same_weights_and_report(
    cache: Path, tmp_path: Path, uninterrupted: Path, stops: list[int]
) -> None:
    """Stops in the middle and at the end of an epoch, several in a row, and after the last step."""
    out = tmp_path / "student"
    for count, step in enumerate(stops):
        with pytest.raises(Terminated):
            train(options(cache, out, resume=count > 0), stop_at(step, signal.SIGTERM))
        assert not (out / "config.json").exists()
        assert [path.name for path in (out / "checkpoints").iterdir()] == [f"step-{step:08d}"]
    train(options(cache, out, resume=True))
    expected, found = weights(uninterrupted), weights(out)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    reports = [json.loads((folder / "metrics.json").read_text()) for folder in (uninterrupted, out)]
    assert reports[0]["history"] == reports[1]["history"]
    assert not (out / "checkpoints").exists()


def test_a_run_that_was_killed_resumes_from_its_last_checkpoint(
    cache: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    class Killed(BaseException):
        pass

    def die(done: int, losses: Mapping[str, float]) -> None:
        if done == 5:
            raise Killed

    out = tmp_path / "student"
    with pytest.raises(Killed):
        train(options(cache, out), die)
    assert checkpoints.newest(out) == out / "checkpoints" / "step-00000003"
    train(options(cache, out, resume=True))
    expected, found = weights(uninterrupted), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_no_checkpoint_takes_the_place_of_the_only_one(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the removal of one and the renaming of the other would lose the run."""
    saved: list[int] = []
    save = checkpoints.save

    def noting(accelerator: Any, out: Path, step: int, *more: Any) -> None:
        saved.append(step)
        save(accelerator, out, step, *more)

    monkeypatch.setattr(checkpoints, "save", noting)
    with pytest.raises(Terminated):
        train(options(cache, tmp_path / "student"), stop_at(5, signal.SIGTERM))
    train(options(cache, tmp_path / "student", resume=True))
    assert 5 in saved
    assert len(saved) == len(set(saved))


def test_ctrl_c_saves_and_is_passed_on(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "student"
    with pytest.raises(KeyboardInterrupt):
        train(options(cache, out), stop_at(2, signal.SIGINT))
    newest = checkpoints.newest(out)
    assert newest is not None
    state, run = checkpoints.read(newest)
    assert (state.epoch, state.step) == (0, 2)
    assert run.seals == [Cache.open(cache).pin]


def test_an_unfinished_run_is_not_overwritten_and_not_mixed_up(
    cache: Path, pair_cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    with pytest.raises(Terminated):
        train(options(cache, out), stop_at(2, signal.SIGTERM))
    with pytest.raises(OutputError, match="found an unfinished run; continue it with --resume"):
        train(options(cache, out))
    with pytest.raises(StateError, match=r"the run began with: seed 0, found seed 1"):
        train(options(cache, out, resume=True, seed=1))
    with pytest.raises(StateError, match="found a different cache"):
        train(options(pair_cache, out, resume=True))
    state = out / "checkpoints" / "step-00000002" / "state.json"
    state.write_text(state.read_text().replace('"step": 2', '"step": 9'))
    with pytest.raises(StateError, match="at most 10 steps, 5 per epoch, found epoch 0, step 9"):
        train(options(cache, out, resume=True))
    moved = state.read_text().replace('"epoch": 0', '"epoch": 1').replace('"step": 9', '"step": 2')
    state.write_text(moved)
    with pytest.raises(StateError, match="expected 1 validations in 7 steps, found 0"):
        train(options(cache, out, resume=True))
    state.write_text("{}")
    with pytest.raises(Exception, match="state.json: expected"):
        train(options(cache, out, resume=True))


def test_a_different_number_of_processes_continues_with_different_dropout(
    cache: Path, tmp_path: Path, uninterrupted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A checkpoint as two processes leave it; really run by them in test_processes.py."""
    caplog.set_level("INFO")
    out = tmp_path / "student"
    with pytest.raises(Terminated):
        train(options(cache, out), stop_at(2, signal.SIGTERM))
    file = out / "checkpoints" / "step-00000002" / "run.json"
    file.write_text(file.read_text().replace('"processes": 1', '"processes": 2'))
    again = Path(shutil.copytree(out, tmp_path / "again"))
    for folder in (out, again):
        caplog.clear()
        train(options(cache, folder, resume=True))
        assert "with a different number of processes (1, before 2): the batches stay" in caplog.text
    one, two, same = weights(out), weights(uninterrupted), weights(again)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], two[name]) for name in one)


def test_resume_reads_the_seal_that_the_run_began_with(
    folder: Path, good_teacher: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    from tests.student_train.caches import make_cache

    root = make_cache(tmp_path / "two", good_teacher)
    out = tmp_path / "student"
    with pytest.raises(Terminated):
        train(options(root, out), stop_at(4, signal.SIGTERM))
    before = Cache.open(root).pin
    shutil.rmtree(tmp_path / "data-two")
    make_cache(root, good_teacher, pairs=150)
    assert Cache.open(root).pin != before
    metrics = train(options(root, out, resume=True))
    assert metrics is not None and metrics.seal == before
    expected, found = weights(uninterrupted), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_resume_without_a_checkpoint_begins(cache: Path, tmp_path: Path) -> None:
    train(options(cache, tmp_path / "student", resume=True, epochs=1))
    assert (tmp_path / "student" / "config.json").exists()


def test_the_output_loads_in_a_pipeline(cache: Path, uninterrupted: Path) -> None:
    from transformers import pipeline

    classify = pipeline("text-classification", str(uninterrupted), device="cpu")
    found = classify(["the film was bright", "dull story"])
    assert [answer["label"] for answer in found] == ["bright", "dull"]
    names = {path.name for path in uninterrupted.iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
        "metrics.json",
    }


def test_metrics_are_those_of_the_saved_student(cache: Path, uninterrupted: Path) -> None:
    """Scores again, from the folder alone and with the stored teacher logits."""
    from transformers import AutoModelForSequenceClassification

    opened = Cache.open(cache)
    model = AutoModelForSequenceClassification.from_pretrained(uninterrupted)
    examples = opened.examples("validation")
    with torch.no_grad():
        logits = [
            model(input_ids=torch.tensor(examples.input_ids[row].astype(np.int64))[None]).logits[0]
            for row in range(len(examples))
        ]
    expected = evaluation(
        torch.stack(logits).numpy(),
        opened.logits("validation"),
        examples.labels,
        "single_label_classification",
    )
    found = json.loads((uninterrupted / "metrics.json").read_text())
    assert found["metrics"]["validation"] == pytest.approx(expected, abs=1e-5)
    [kept] = [entry for entry in found["history"] if entry["step"] == found["kept"]["step"]]
    assert kept["metrics"] == found["metrics"] and kept["epoch"] == found["kept"]["epoch"]
    assert found["best"] == found["kept"]
    assert found["score"] == found["metrics"][found["split"]][found["metric"]]
    teacher = found["teacher_metrics"]["validation"]
    assert found["teacher_score"] == teacher[found["metric"]]
    assert {k: teacher[k] for k in opened.seal.scores["validation"]} == pytest.approx(
        opened.seal.scores["validation"]
    )
    assert found["steps"] == 10
    assert found["pairs_seen"] == found["mixes_trained"] == 80
    assert found["pairs_in_cache"] == 100
    assert found["seal"] == opened.pin
    assert found["student"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["settings"]["alpha_tmkd"] == 1 and found["settings"]["seed"] == 0
    assert found["versions"]["torch"] == torch.__version__
    assert found["seconds"] > 0
    assert str(uninterrupted.parent) not in (uninterrupted / "metrics.json").read_text()


def test_the_log_proves_alignment_and_counts_pairs(
    cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    train(options(cache, tmp_path / "one", epochs=1))
    train(options(cache, tmp_path / "two", epochs=1, mix_ratio=5))
    train(options(cache, tmp_path / "three", epochs=1, method="kd"))
    text = caplog.text
    assert "(sealed) · 160/160 rows · labels dull, bright" in text
    assert (
        "uses 40 of the cache's 100 pairs (40 per epoch); "
        "--epochs 3 or --mix-ratio 2.5 would use all" in text
    )
    assert "uses all of the cache's 100 pairs, 2.0 times" in text
    assert "uses none of the cache's 100 pairs" in text


def test_methods_without_mixes_read_no_pairs(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Cache, record: object) -> None:
        raise AssertionError("a shard of pairs was read")

    monkeypatch.setattr(Cache, "read", fail)
    for method in ("ft", "kd"):
        metrics = train(options(cache, tmp_path / method, method=method, epochs=1))
        assert metrics is not None and metrics.pairs_seen == 0


def test_a_cache_without_pairs(cache_without_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found a cache of originals only; use --method kd or ft"):
        train(options(cache_without_pairs, tmp_path / "student"))
    train(options(cache_without_pairs, tmp_path / "student", method="kd", epochs=1))


def test_a_read_only_cache(cache: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    shutil.copytree(cache, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    for path in root.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    root.chmod(0o555)
    train(options(root, tmp_path / "student", epochs=1))
    root.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_nothing_goes_by_the_clock(
    cache: Path, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of day jumps back and forth, and the run goes on days later on another machine."""
    jumps = itertools.cycle([2e9, -1e9, 0.0, 5e8])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    out = tmp_path / "student"
    with pytest.raises(Terminated):
        train(options(cache, out), stop_at(4, signal.SIGTERM))
    before = checkpoints.last(out)
    assert before is not None and 0 < before.run.seconds < 600
    for path in out.rglob("*"):
        os.utime(path, (1e9, 1e9))
    since_boot = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: since_boot() - 1e7)
    metrics = train(options(cache, out, resume=True))
    assert metrics is not None and before.run.seconds < metrics.seconds < 600
    expected, found = weights(uninterrupted), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_an_output_that_cannot_be_written_is_named_before_training(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that is read-only the bits of a folder say nothing."""

    def refuse(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def no_step(done: int, losses: Mapping[str, float]) -> None:
        raise AssertionError("a step was made")

    out = tmp_path / "student"
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(OutputError, match="can be written, found Read-only file system; choose"):
        train(options(cache, out), no_step)
    assert not out.exists()
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda *arguments: False)  # root may write everywhere
    with pytest.raises(OutputError, match="can be written, found no permission to write"):
        train(options(cache, out), no_step)


@pytest.mark.parametrize("out", ["x" * 300, "y" * 4000])
def test_an_output_of_too_long_a_name(cache: Path, tmp_path: Path, out: str) -> None:
    for resume in (False, True):
        with pytest.raises(OutputError, match=r"can be written, found a name of \d+ bytes"):
            train(options(cache, tmp_path / out, resume=resume))


def test_a_tracker_that_cannot_write_is_named(
    cache: Path, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate import Accelerator

    def full(self: Accelerator, values: Mapping[str, float], step: int) -> None:
        if step == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "student"
    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "log", full)
        with pytest.raises(DiskError, match="--track: .* No space left on device; free space or"):
            train(options(cache, out))
    train(options(cache, out, resume=True))
    expected, found = weights(uninterrupted), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_tracker_that_fails_at_the_end_is_a_warning(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The student is finished: --resume would be refused."""
    from accelerate import Accelerator

    def full(self: Accelerator) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Accelerator, "end_training", full)
    assert train(options(cache, tmp_path / "student", epochs=1)) is not None
    assert "No space left on device); the student is whole" in caplog.text


def test_two_caches_give_their_mean(
    cache: Path, good_teacher: Path, folder: Path, tmp_path: Path
) -> None:
    from tests.student_train.caches import make_cache

    other = make_cache(folder / "again", good_teacher, shard_rows=11)
    both = TrainOptions(cache=(cache, other), out=tmp_path / "both", epochs=1, device="cpu")
    metrics = train(both)
    assert metrics is not None and len(metrics.caches) == 2
    train(TrainOptions(cache=(cache,), out=tmp_path / "one", epochs=1, device="cpu"))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "both")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


def test_logits_of_other_examples_are_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = Cache.logits
    monkeypatch.setattr(Cache, "logits", lambda self, split="train": -stored(self, split))
    with pytest.raises(AlignmentError, match="from the stored logits and labels"):
        train(options(cache, tmp_path / "student"))


def test_a_loss_that_is_not_finite_stops_the_run(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(LogitsError, match="losses up to step .*lower --learning-rate"):
        train(options(cache, tmp_path / "student", learning_rate=1e30))


@pytest.mark.parametrize(
    ("content", "found"),
    [("config.json", "a finished student"), ("notes.txt", "notes.txt")],
)
def test_an_output_that_holds_something_is_refused(
    cache: Path, tmp_path: Path, content: str, found: str
) -> None:
    out = tmp_path / "student"
    out.mkdir()
    (out / content).write_text("{}")
    for resume in (False, True):
        with pytest.raises(OutputError, match=f"found {found}"):
            train(options(cache, out, resume=resume))
    assert [path.name for path in out.iterdir()] == [content]


def test_an_output_that_is_a_file_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "student").write_text("")
    with pytest.raises(OutputError, match="expected a folder, found a file"):
        train(options(cache, tmp_path / "student"))


def test_regression_takes_squared_error_only(regression_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--distance: expected mse"):
        train(options(regression_cache, tmp_path / "student", distance="kl"))
    metrics = train(options(regression_cache, tmp_path / "student", epochs=1))
    assert metrics is not None and metrics.metric == "pearson"
    assert metrics.student.labels == ("score",)


def test_depths_that_the_cache_has_not(pair_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--layers: expected one of 1, 2 .* found 5"):
        train(options(pair_cache, tmp_path / "student", layers=5))
    metrics = train(options(pair_cache, tmp_path / "student", epochs=1))
    assert metrics is not None and metrics.student.start == "the teacher's layers 0, 1"


def test_a_start_of_chosen_layers(good_teacher: Path, tmp_path: Path) -> None:
    """Which layers it was is said by the result, and a resumed run begins with the same."""
    from tests.student_train.caches import make_cache

    made = make_cache(tmp_path / "cache", good_teacher, starts=((0,), (1,)))
    found = {
        layers: train(options(made, tmp_path / f"student-{layers[0]}", layers=layers, epochs=1))
        for layers in ((0,), (1,))
    }
    for (layer,), metrics in found.items():
        assert metrics is not None and metrics.settings.layers == str(layer)
        assert metrics.student.start == f"the teacher's layers {layer}"
    assert weights(tmp_path / "student-0").keys() == weights(tmp_path / "student-1").keys()
    with pytest.raises(UsageError, match=r"--layers: expected one of 0, 1 .* found 1;"):
        train(options(made, tmp_path / "other", layers=1))


def test_a_tracker_that_is_not_there(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--track: expected .* found ledger, which is unknown"):
        train(options(cache, tmp_path / "student", track=("ledger",)))


def test_bfloat16_trains(cache: Path, tmp_path: Path) -> None:
    metrics = train(options(cache, tmp_path / "student", dtype="bfloat16", epochs=1))
    assert metrics is not None and metrics.settings.dtype_used == "bfloat16"
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / "student").values())
    with pytest.raises(UsageError, match="--dtype: expected float32 or bfloat16 on a CPU"):
        train(options(cache, tmp_path / "other", dtype="float16"))
