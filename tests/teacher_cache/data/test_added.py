"""Rows that are appended to train: without labels, and from train rows; train without labels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from mixkd.shared.errors import DataError, UsageError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from tests.teacher_cache.data.test_load import write

TRAIN = "".join(f"text {row}\t{'good' if row % 2 else 'bad'}\tid{row}\n" for row in range(20))
VALIDATION = "text\tlabel\nseen there\tgood\nand here\tbad\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 labelled train rows with ids, and two validation rows."""
    write(tmp_path / "data", "train.tsv", "text\tlabel\tid\n" + TRAIN)
    write(tmp_path / "data", "validation.tsv", VALIDATION)
    return tmp_path / "data"


def read(data: Any, **more: Any) -> Data:
    return load(DataSpec("mood", data, **more))


def rows(data: Data) -> list[tuple[str, float]]:
    train = data.splits["train"]
    return list(zip(train.text_a.to_pylist(), train.labels.tolist(), strict=True))


def test_rows_without_labels_come_behind_those_of_train(folder: Path) -> None:
    more = write(folder, "more.csv", "number,text\n1,new\n2,newer\n")
    less = datasets.Dataset.from_dict({"text": ["newest"], "label": [7]})
    data = read(folder, unlabelled=(str(more), less))
    assert [text for text, _ in rows(data)[:20]] == [f"text {row}" for row in range(20)]
    assert rows(data)[20:] == [("new", -1), ("newer", -1), ("newest", -1)]
    assert (data.about["unlabelled"], data.splits["train"].labels.dtype) == (3, np.int64)
    assert len(data.splits["validation"]) == 2


def test_the_rest_is_what_a_subset_leaves_out(folder: Path) -> None:
    part = read(folder, subset=0.1)
    data = read(folder, subset=0.1, unlabelled=("rest",))
    assert rows(data)[:2] == rows(part)
    assert {label for _, label in rows(data)[2:]} == {-1}
    assert sorted(text for text, _ in rows(data)) == sorted(f"text {row}" for row in range(20))
    assert (data.about["subset"], data.about["unlabelled"]) == (0.1, 18)


def test_the_rest_of_a_train_without_validation_has_none_of_the_held_out(tmp_path: Path) -> None:
    file = write(tmp_path, "mood.tsv", "text\tlabel\tid\n" + TRAIN)
    data = read(file, subset=0.2, unlabelled=("rest",))
    held = set(data.splits["validation"].text_a.to_pylist())
    assert len(held) == data.about["held_out"] == 2
    assert {text for text, _ in rows(data)} == {f"text {row}" for row in range(20)} - held


def test_texts_of_validation_are_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    more = write(folder, "more.tsv", "text\nnew\nseen there\nand here\n")
    aside = write(folder, "aside.tsv", "text\tsource\nand here\t3\nother\t3\n")
    with caplog.at_level(logging.WARNING):
        data = read(folder, unlabelled=(str(more),), augmented=(str(aside),))
    assert rows(data)[20:] == [("other", 1), ("new", -1)]
    assert caplog.messages == [
        "--augmented: 1 rows left out, whose texts are in validation",
        "--unlabelled: 2 rows left out, whose texts are in validation",
    ]


def test_train_data_without_labels(folder: Path) -> None:
    write(folder, "train.tsv", "text\nfirst\nsecond\n")
    data = read(folder)
    assert rows(data) == [("first", -1), ("second", -1)]
    assert (data.label_names, data.problem_type) == (("bad", "good"), CLASSIFICATION)
    assert data.splits["validation"].labels.tolist() == [1, 0]


def test_a_regression_without_labels_has_nan(folder: Path) -> None:
    write(folder, "train.tsv", "text\nfirst\nsecond\n")
    write(folder, "validation.tsv", "text\tlabel\nseen\t0.5\nhere\t1.5\n")
    data = read(folder, unlabelled=(str(write(folder, "more.tsv", "text\nnew\n")),))
    assert data.problem_type == REGRESSION
    labels = data.splits["train"].labels
    assert labels.dtype == np.float32 and np.isnan(labels).all() and len(labels) == 3


def test_two_texts_and_other_names(tmp_path: Path) -> None:
    pairs = "premise\thypothesis\tlabel\n" + "".join(f"a{k}\tb{k}\t{k % 2}\n" for k in range(20))
    file = write(tmp_path, "nli.tsv", pairs)
    more = write(tmp_path, "more.tsv", "sentence1\tsentence2\none\ttwo\n")
    train = read(file, unlabelled=(str(more),)).splits["train"]
    assert (train.text_a[-1].as_py(), train.text_b[-1].as_py()) == ("one", "two")


def test_unlabelled_texts_may_be_lines(folder: Path) -> None:
    more = write(folder.parent, "texts.txt", "new, and odd\n\neven\n")
    added = rows(read(folder, unlabelled=(str(more),)))[20:]
    assert added == [("new, and odd", -1), ("even", -1)]


def test_augmented_texts_have_the_labels_of_their_sources(folder: Path) -> None:
    file = write(folder, "aside.tsv", "text\tsource\nodd\t3\neven\t4\n")
    assert rows(read(folder, augmented=(file,)))[20:] == [("odd", 1), ("even", 0)]
    named = write(folder, "named.tsv", "text\tsource\tlabel\nodd\tid3\tgood\neven\tid4\tbad\n")
    data = read(folder, augmented=(str(named),), id_column="id")
    assert rows(data)[20:] == [("odd", 1), ("even", 0)]
    assert data.about["augmented"] == 2


def test_augmented_texts_of_rows_that_are_not_trained_on_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path, "mood.tsv", "text\tlabel\tid\n" + TRAIN)
    every = "".join(f"like {row}\t{row}\n" for row in range(20))
    aside = write(tmp_path, "aside.tsv", "text\tsource\n" + every)
    with caplog.at_level(logging.INFO):
        data = read(file, subset=0.5, unlabelled=("rest",), augmented=(str(aside),))
    used = [text.split()[1] for text, label in rows(data) if label >= 0 and text[:4] == "text"]
    alike = [text.split()[1] for text, label in rows(data) if text[:4] == "like"]
    assert used == alike and len(used) == 8
    said = "8 of 20 augmented texts used; the sources of the others are held out or left out"
    assert f"{aside}: {said}" in caplog.messages


@pytest.mark.parametrize(
    ("name", "text", "more", "expected"),
    [
        ("unlabelled", "words\nnew\n", {}, r"expected the text columns of train \(text\), or"),
        (
            "unlabelled",
            "premise\thypothesis\na\tb\n",
            {},
            r"expected the text columns of train \(t",
        ),
        ("unlabelled", "text\n", {}, "expected at least one row, found none"),
        ("unlabelled", "text\n \n", {}, "row 1, column text: expected text, found an empty text"),
        ("augmented", "text\nnew\n", {}, "expected a column 'source'"),
        ("augmented", "text\tsource\na\t20\n", {}, "row 1, column source: .*0 to 19, found '20'"),
        ("augmented", "text\tsource\na\t1\nb\t-1\n", {}, "row 2, column source: .*found '-1'"),
        (
            *("augmented", "text\tsource\na\tid20\n", {"id_column": "id"}),
            "row 1, column source: expected a value of train's --id-column, found 'id20'",
        ),
        (
            *("augmented", "text\tsource\na\tgood\n", {"id_column": "label"}),
            "row 3, column label: expected a different id in each row, found 'bad' again",
        ),
        (
            *("augmented", "text\tsource\tlabel\na\t3\tgood\nb\t3\tbad\n", {}),
            "row 2, column label: expected the label of its source, 1, found 0",
        ),
        ("augmented", "text\tsource\tlabel\na\t3\tnone\n", {}, "row 1, column label: expected the"),
    ],
)
def test_rows_that_cannot_be_added(
    folder: Path, name: str, text: str, more: dict[str, Any], expected: str
) -> None:
    file = write(folder, "added.tsv", text)
    with pytest.raises(DataError, match=expected):
        read(folder, **{name: (str(file),)}, **more)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "unlabelled",
            "absent.tsv: expected a file or folder, found none; check the path for",
        ),
        ("augmented", "absent.tsv: expected a file, found none; check --augmented for a typo"),
    ],
)
def test_a_file_that_is_not_there(folder: Path, name: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read(folder, **{name: (str(folder / "absent.tsv"),)})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"unlabelled": ("rest",)}, "--unlabelled: expected --subset below 1 beside rest"),
        ({"unlabelled": "more.tsv"}, r"--unlabelled: expected a tuple of places, found str"),
        ({"unlabelled": ({"text": []},)}, "expected a folder, a file"),
        ({"id_column": "id"}, "--id-column: expected --augmented beside it"),
    ],
)
def test_options_that_make_no_sense(more: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        DataSpec("mood", "data", **more)


def test_validation_needs_labels(folder: Path) -> None:
    write(folder, "validation.tsv", "text\nseen\n")
    with pytest.raises(DataError, match=r"validation\.tsv: expected a column 'label'"):
        read(folder)
    write(folder, "train.tsv", "text\nfirst\nsecond\n")
    expected = r"train\.tsv: expected a column of labels, .* found labels in none"
    with pytest.raises(DataError, match=expected):
        read(folder)


def test_kept_columns_of_added_rows_are_null_but_those_of_the_rest_their_own(folder: Path) -> None:
    more = write(folder, "more.csv", "text,id\nnew,7\n")
    write(folder, "validation.tsv", "text\tlabel\tid\nseen there\tgood\tid20\nand\tbad\tid21\n")
    asked = {"subset": 0.5, "unlabelled": ("rest", str(more)), "keep_columns": ("id",)}
    train = read(folder, **asked).splits["train"]
    assert train.kept is not None
    texts, ids = train.text_a.to_pylist(), train.kept["id"].to_pylist()
    assert ids == [f"id{text.split()[1]}" if text != "new" else None for text in texts]
    assert (len(ids), train.logits) == (21, None)


def test_names_of_splits_are_those_of_the_data_not_of_what_is_added(folder: Path) -> None:
    more = write(folder.parent, "more.csv", "text\nnew\n")
    write(folder, "test.tsv", VALIDATION)
    named = {"train_split": "test", "validation_split": ("train",)}
    assert rows(read(folder, unlabelled=(str(more),), **named))[-1] == ("new", -1)
