"""`evaluate`: a teacher on its own data, against a cache, as a command and from Python."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import mixkd
from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DataError, MixkdError
from mixkd.student_train.cli import train_student
from mixkd.student_train.finished.report import tables
from mixkd.student_train.finished.result import class_scores, confusion_matrix, counts_of
from tests.commands import run
from tests.miniature import read_texts, tiny_data, tiny_teacher
from tests.student_train.caches import make_cache


def evaluated(*words: object) -> dict[str, Any]:
    line = shlex.join(["train-student", "evaluate", *map(str, words), "--device", "cpu", "--json"])
    return dict(json.loads(run(line)))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of two classes that no cache holds."""
    return tiny_data(tmp_path_factory.mktemp("held"), 40, seed=7) / "train.tsv"


def test_the_cached_teacher_agrees_with_itself(good_teacher: Path, cache: Path) -> None:
    found = evaluated(good_teacher, "--cache", cache)
    against, sealed = found["against_teacher"], Cache.open(cache).seal.scores["validation"]
    assert found["examples"] == against["examples"] == 20
    assert found["metrics"]["accuracy"] == sealed["accuracy"]
    assert against["metrics"]["teacher_agreement"] == 1
    assert abs(against["metrics"]["teacher_kl"]) < 1e-6
    assert against["teacher"] == pytest.approx(found["metrics"], abs=1e-4)


def test_a_file_against_a_cache_that_holds_some_of_it(
    good_teacher: Path, cache: Path, tmp_path: Path, held: Path
) -> None:
    cached = Cache.open(cache).examples("train").text_a.to_pylist()[:3]
    ((texts,), labels) = read_texts(held)
    rows = [*zip(texts, labels, strict=True), *((text, 0) for text in cached)]
    lines = [f"{text}\t{'bright' if label else 'dull'}\n" for text, label in rows]
    (tmp_path / "mixed.tsv").write_text("".join(["utterance\tintent\n", *lines]))
    found = evaluated(good_teacher, "--data", tmp_path / "mixed.tsv", "--cache", cache)
    assert (found["examples"], found["against_teacher"]["examples"]) == (43, 3)
    assert sum(map(sum, found["confusion"])) == 43
    assert [each["name"] for each in found["classes"]] == ["dull", "bright"]
    assert found["speed"]["parameters"] > 0 and found["metrics"]["calibration_error"] >= 0
    none = evaluated(good_teacher, "--data", held, "--cache", cache)["against_teacher"]
    assert none["examples"] == 0 and none["metrics"] == {}


def test_tables_and_predictions(good_teacher: Path, held: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "predictions.csv"
    words = f"train-student evaluate {good_teacher} --data {held} --predictions {out} --device cpu"
    shown = run(words)
    for word in ("accuracy", "calibration error", "precision", "bright", "ms for one example"):
        assert word in shown
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["text", "label", "prediction", "probability", "p_dull", "p_bright"]
    assert len(rows) == 40
    right = sum(row["label"] == row["prediction"] for row in rows) / 40
    assert right == evaluated(good_teacher, "--data", held)["metrics"]["accuracy"]
    again = CliRunner().invoke(train_student, shlex.split(words)[1:])
    assert "expected a new file, found one" in str(again.exception)


def test_from_python_with_a_pair_and_a_number(
    good_pair_teacher: Path, pair_cache: Path, good_regression_teacher: Path, tmp_path: Path
) -> None:
    import datasets

    found = mixkd.evaluate(good_pair_teacher, cache=pair_cache, split="train", device="cpu")
    assert len(found.texts) == 2 and found.logits.shape == (40, 3)
    assert "pair" in found.model and "confusion" in found.to_json()
    data = tiny_data(tmp_path, 12, classes=1, pairs=True)
    texts, scores = read_texts(data / "train.tsv")
    table = datasets.Dataset.from_dict(
        {"sentence1": texts[0], "sentence2": texts[1], "label": scores}
    )
    number = mixkd.evaluate(good_regression_teacher, table, device="cpu")
    assert set(number.metrics) == {"pearson", "spearman", "mse"}
    assert number.metrics["pearson"] > 0.5 and number.classes == ()
    (first, *_) = number.predictions()
    assert first.probability is None and first.label == pytest.approx(number.logits[0, 0])


def test_many_classes_show_the_most_frequent_confusions(good_teacher: Path, held: Path) -> None:
    found = mixkd.evaluate(good_teacher, held, device="cpu")
    names = tuple(f"[bold]{number}" for number in range(20))
    confusion = np.diag(np.full(20, 9))
    confusion[3, 4], confusion[5, 6] = 7, 8
    classes = class_scores(counts_of(confusion), names)
    counts = tuple(map(tuple, confusion.tolist()))
    many = replace(found, label_names=names, classes=classes, confusion=counts)
    console = Console(width=60, record=True, file=io.StringIO())
    for table in tables(many):
        console.print(table)
    _, shown = console.export_text().split("most frequent confusions")
    assert 0 < shown.index("[bold]6") < shown.index("[bold]4")


def test_confusion_and_class_scores_against_scikit_learn() -> None:
    from sklearn.metrics import confusion_matrix as plain
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 4, 50), random.integers(0, 3, 50)
    confusion = confusion_matrix(labels, predicted, 5)
    assert (confusion == plain(labels, predicted, labels=range(5))).all()
    expected = precision_recall_fscore_support(labels, predicted, labels=range(5), zero_division=0)
    found = class_scores(counts_of(confusion), "abcde")
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [getattr(each, name) for each in found] == pytest.approx(list(values))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--data: expected --data or --cache, found neither"),
        (("--data", "missing.csv"), "missing.csv: expected a file or folder"),
        (("--data", "HELD", "--label-column", "class"), "expected a column 'class', found the col"),
        (("--data", "HELD", "--text-columns", "a,b"), "expected a column 'a'"),
        (("--data", "HELD", "--batch-size", "0"), "--batch-size: expected a number from 1"),
        (("--data", "HELD", "--max-length", "900"), "expected --max-length of at most 80"),
        (("--data", "OTHER"), "row 1, column label: expected a label that the model knows (dull"),
        (
            ("--cache", "PAIRS"),
            "expected the model's labels (dull, bright), found dull, bright, odd",
        ),
        (("--cache", "CACHE", "--split", "test"), "--split: expected one of train, validation"),
        (("--cache", "nowhere"), "nowhere: expected the folder of a cache"),
        (("--data", "HELD", "--predictions", "p.txt"), "expected a file .csv or .jsonl"),
    ],
)
def test_what_cannot_be_evaluated(
    words: Sequence[str],
    message: str,
    good_teacher: Path,
    held: Path,
    cache: Path,
    pair_cache: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "other.csv").write_text("text,label\na b,sad\n")
    places = {"HELD": held, "OTHER": tmp_path / "other.csv", "PAIRS": pair_cache, "CACHE": cache}
    given = [str(places.get(word, word)) for word in words]
    found = CliRunner().invoke(
        train_student, ["evaluate", str(good_teacher), *given, "--device", "cpu"]
    )
    assert isinstance(found.exception, MixkdError)
    assert message in str(found.exception)


def test_a_missing_cache_is_named_before_a_library_is_loaded(tmp_path: Path) -> None:
    lines = (
        "import sys; from click.testing import CliRunner",
        "from mixkd.student_train.cli import train_student",
        "found = CliRunner().invoke(train_student, ['evaluate', 'student', '--cache', 'nowhere'])",
        "assert 'nowhere: expected the folder of a cache' in str(found.exception)",
        "assert 'torch' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=60)


def test_a_cache_without_texts_and_one_of_unlabelled_rows(
    good_teacher: Path, held: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = make_cache(tmp_path / "silent", good_teacher, text=False, pairs=0)
    for data in (held, None):
        with pytest.raises(DataError, match="expected texts.*, found none: .* --no-text"):
            mixkd.evaluate(good_teacher, data, cache=silent, device="cpu")
    opened = Cache.open(cache)
    examples = opened.examples("train")
    labels = np.where(np.arange(40) < 30, -1, examples.labels)
    monkeypatch.setattr(Cache, "examples", lambda self, split: replace(examples, labels=labels))
    monkeypatch.setattr(Cache, "logits", lambda self, split: opened._originals["train"])
    assert mixkd.evaluate(good_teacher, cache=cache, split="train", device="cpu").examples == 10


def test_models_that_are_not_finished(tmp_path: Path, cache: Path, held: Path) -> None:
    headless = tiny_teacher(tmp_path / "headless", head=False)
    multi = tiny_teacher(tmp_path / "multi", problem_type="multi_label_classification")
    (tmp_path / "empty").mkdir()
    for model, message in (
        (headless, "expected all weights of Bert.*, found none that fit classifier"),
        (multi, "expected a list of labels that the model knows .*found '0'"),
        (tmp_path / "empty", "expected weights in safetensors, found none"),
        (cache, "expected weights in safetensors"),
        (tmp_path / "gone", "expected a model's folder"),
    ):
        with pytest.raises(MixkdError, match=message):
            mixkd.evaluate(model, held, device="cpu")
