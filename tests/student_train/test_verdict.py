"""What a run says of its student: against a constant answer, its trend, and what to try."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from mixkd.student_train.headline import Headline
from mixkd.student_train.results import RunSettings, Validated, Verdict
from mixkd.student_train.verdict import Baseline, baseline, judge, standard_error, trend

ACCURACY = Headline("validation", "accuracy")
NAMES = ("no", "yes")
CLASSES = "single_label_classification"
SETTINGS: dict[str, Any] = {
    "layers": None,
    "method": "kd",
    "weights": {"mle": 1.0, "kd": 1.0},
    "distance": "mse",
    "temperature": 1.0,
    "mix_ratio": 1.0,
    "epochs": 5,
    "batch_size": 32,
    "learning_rate": 5e-5,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "seed": 0,
    "device": "cpu",
    "dtype": "auto",
    "max_length": 64,
    "mask": "union",
    "processes": 1,
    "device_used": "cpu",
    "dtype_used": "float32",
    "eval_steps": 10,
    "keep": "best",
    "patience": None,
    "max_steps": None,
    "scheduler": "linear",
    "gradient_accumulation": 1,
}


def history(*scores: float, metric: str = "accuracy") -> list[Validated]:
    return [
        Validated(10 * n, float(n), {"validation": {metric: score}, "other": {metric: 1 - score}})
        for n, score in enumerate(scores, start=1)
    ]


def verdict(*scores: float, rows: int = 1000, teacher: float = 0.9, **changes: Any) -> Verdict:
    settings = msgspec.convert(SETTINGS | changes, RunSettings)
    entries = history(*scores)
    kept = entries[ACCURACY.best(entries)].metrics
    of_teacher = {"validation": {"accuracy": teacher}}
    against = Baseline("'no'", 0.5, rows)
    return judge(ACCURACY, entries, kept, of_teacher, against, settings, pairs=100)


def test_the_constant_answer_of_each_metric() -> None:
    labels = np.array([0] * 30 + [1] * 70)

    def of(metric: str) -> Baseline:
        return baseline(Headline("validation", metric), labels, NAMES, CLASSES)

    assert of("accuracy") == Baseline("'yes'", 0.7, 100)
    assert of("f1") == Baseline("'yes'", pytest.approx(1.4 / 1.7), 100)
    assert of("matthews_correlation").score == 0
    numbers = np.array([1, 2, 3, 4], np.float32)
    pearson = baseline(Headline("validation", "pearson"), numbers, (), "regression")
    assert pearson == Baseline("the mean", 0.0, 4)
    squares = baseline(Headline("validation", "mse"), numbers, (), "regression")
    assert squares.score == pytest.approx(1.25)
    hostile = baseline(ACCURACY, labels, ("a", "b\x1b[31m"), CLASSES)
    assert "\x1b" not in hostile.name


def test_standard_errors() -> None:
    generator = np.random.default_rng(0)
    shares = generator.binomial(400, 0.7, 4000) / 400
    assert standard_error("accuracy", 0.7, 400) == pytest.approx(shares.std(), rel=0.05)
    pairs = generator.normal(size=(4000, 2, 100))
    found = [np.corrcoef(*pair)[0, 1] for pair in pairs]
    assert standard_error("pearson", 0.0, 100) == pytest.approx(np.std(found), rel=0.05)
    squares = (generator.normal(size=(4000, 100)) ** 2).mean(axis=1)
    assert standard_error("mse", 1.0, 100) == pytest.approx(squares.std(), rel=0.05)


@pytest.mark.parametrize(("rows", "better"), [(100, False), (10_000, True)])
def test_noise_is_not_praised(rows: int, better: bool) -> None:
    found = verdict(0.53, rows=rows)
    assert found.better is better
    assert found.margin == pytest.approx(0.03)
    expected = "better than" if better else "NO BETTER than always answering 'no'"
    assert found.summary.startswith(expected)
    assert "37.0 points behind the teacher" in found.summary


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.8,), "unknown"),
        ((0.6, 0.7, 0.8), "rising"),
        ((0.6, 0.8, 0.801), "level"),
        ((0.6, 0.8, 0.79), "level"),
        ((0.6, 0.8, 0.7), "falling"),
    ],
)
def test_the_trend(scores: tuple[float, ...], expected: str) -> None:
    assert trend(ACCURACY, history(*scores), 1000) == expected


def test_a_lower_error_is_better() -> None:
    errors = Headline("validation", "mse")
    entries = history(3.0, 1.0, 1.0, 2.0, metric="mse")
    assert errors.best(entries) == 1
    assert errors.validations_since_best(entries) == 2
    assert trend(errors, entries, 1000) == "falling"
    assert ACCURACY.best(history(0.5, 0.7, 0.7, 0.6)) == 1, "the earliest of equal ones"


def test_the_headline_is_of_the_first_split() -> None:
    found = Headline.of("f1", {"matched": {"accuracy": 0.5}, "mismatched": {"accuracy": 0.9}})
    assert found == Headline("matched", "accuracy")


@pytest.mark.parametrize(
    ("scores", "changes", "expected"),
    [
        ((0.5, 0.5), {}, ["--epochs 10", "--learning-rate 0.0001", "another start"]),
        ((0.5, 0.5), {"learning_rate": 2e-4}, ["--epochs 10", "another start"]),
        ((0.5, 0.5), {"max_steps": 40}, ["--max-steps 80", "--learning-rate", "another start"]),
        ((0.6, 0.8), {}, ["--epochs 10"]),
        ((0.8, 0.8), {}, ["another start", "--method mixkd"]),
        ((0.8, 0.8), {"weights": {"sm": 1.0}}, ["another start", "more data, or more pairs"]),
        ((0.8, 0.7), {}, ["--learning-rate 2.5e-05", "--method mixkd"]),
        ((0.9, 0.9), {}, []),
    ],
)
def test_what_to_try(
    scores: tuple[float, ...], changes: dict[str, Any], expected: list[str]
) -> None:
    advice = verdict(*scores, **changes).advice
    assert len(advice) == len(expected)
    for wanted, found in zip(expected, advice, strict=True):
        assert wanted in found


def test_the_constant_answer_of_multi_label_is_the_best_one() -> None:
    """Every answer is tried: those of the most frequent labels are the best by micro F1."""
    generator = np.random.default_rng(4)
    labels = (generator.random((40, 4)) < [0.7, 0.1, 0.4, 0.35]).astype(np.int8)  # [n, C]
    headline = Headline("validation", "micro_f1")
    found = baseline(headline, labels, ("a", "b", "c", "d"), "multi_label_classification")
    every = []
    for answer in np.ndindex(2, 2, 2, 2):
        right = int((labels * answer).sum())
        every.append(2 * right / (len(labels) * sum(answer) + int(labels.sum())))
    assert found.score == pytest.approx(max(every))
    assert found.name == "the 2 most frequent labels"
    rare = np.eye(4, dtype=np.int8)[[0, 0, 0, 1]]
    found = baseline(headline, rare, ("a", "b", "c", "d"), "multi_label_classification")
    assert (found.name, found.score, found.examples) == ("'a'", 0.75, 4)
