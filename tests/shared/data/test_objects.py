"""Objects of `datasets` as data: the same rows give the same data wherever they are from."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixkd.shared.errors import DataError, UsageError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from mixkd.teacher_cache.finetune import FinetuneOptions
from mixkd.teacher_cache.options import BuildOptions

datasets = pytest.importorskip("datasets")
NAMES = ("no", "yes")
TEXTS = [f"text {row} été" for row in range(30)]


def split(labels: Any, feature: object = None, **texts: list[str]) -> Any:
    """A `Dataset` of one or two text columns and labels."""
    made = datasets.Dataset.from_dict({**(texts or {"text": TEXTS}), "label": labels})
    return made if feature is None else made.cast_column("label", feature)


def tsv(folder: Path, **splits: Any) -> Path:
    """Write the same rows as a folder of tsv files, labels as their numbers or names."""
    folder.mkdir()
    for name, rows in splits.items():
        lines = [rows.column_names, *([str(row[c]) for c in rows.column_names] for row in rows)]
        text = "".join("\t".join(line) + "\n" for line in lines)
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder


def own(data: Any, **more: Any) -> Data:
    return load(DataSpec(task="mood", data=data, **more))


def check_equal(one: Data, other: Data) -> None:
    """The same splits, texts and labels in the same order, and what they mean."""
    assert one.texts_sha256() == other.texts_sha256()
    assert (one.label_names, one.problem_type) == (other.label_names, other.problem_type)
    assert one.metric == other.metric


def test_named_classes_are_kept_and_splits_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    label = datasets.ClassLabel(names=list(NAMES))
    train, validation = split([0, 1] * 15, label), split([1, 0] * 15, label)
    given = datasets.DatasetDict(
        train=train, test=split([-1] * 30, label), validation=validation, unsupervised=train
    )
    with caplog.at_level(logging.INFO, "mixkd"):
        data = own(given)
    assert "splits used: train, validation; left out: test, unsupervised" in caplog.text
    assert data.label_names == NAMES and data.problem_type == CLASSIFICATION
    assert data.about == {"task": "mood", "data": "mood"}
    folder = tsv(tmp_path / "rows", train=train, validation=validation)
    (folder / "label_names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    check_equal(data, own(str(folder)))
    check_equal(own(given, label_names=("n", "y")), own(folder, label_names=("n", "y")))


def test_strings_as_labels_are_class_names(tmp_path: Path) -> None:
    train = split(["pos", "neg"] * 15)
    data = own(datasets.DatasetDict(train=train, dev=train.select(range(4))))
    assert data.label_names == ("neg", "pos")
    assert list(data.splits) == ["train", "dev"]
    folder = tsv(tmp_path / "rows", train=train, dev=train.select(range(4)))
    files = own(folder)
    assert data.texts_sha256()["train"] == files.texts_sha256()["train"]
    assert data.texts_sha256()["dev"] == files.texts_sha256()["validation"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_are_a_regression(tmp_path: Path, dtype: str) -> None:
    rows = split([row / 7 for row in range(30)], datasets.Value(dtype))
    data = own(rows)
    assert data.problem_type == REGRESSION and data.metric == "pearson"
    assert data.splits["train"].labels.dtype == np.float32
    check_equal(data, own(tsv(tmp_path / "rows", train=rows)))


def test_two_texts_of_which_one_may_be_empty(tmp_path: Path) -> None:
    rows = split([0, 1] * 15, premise=TEXTS, hypothesis=[*TEXTS[1:], TEXTS[0]])
    data = own(rows, subset=0.5)
    assert data.splits["train"].text_b is not None
    check_equal(data, own(tsv(tmp_path / "rows", train=rows), subset=0.5))
    lacking = split([0, 1] * 15, question1=TEXTS, question2=["", *TEXTS[1:]])
    splits = load(DataSpec(task="qqp", data=lacking)).splits.values()
    assert "" in [text for part in splits for text in part.text_b.to_pylist()]


def test_training_rows_alone_give_a_tenth_for_validation(tmp_path: Path) -> None:
    rows = split([0, 1, 1] * 10)
    folder = tsv(tmp_path / "rows", train=rows)
    for given in (
        rows,
        datasets.DatasetDict(train=rows),
        datasets.DatasetDict(train=rows, test=rows),
    ):
        data = own(given)
        assert data.about["held_out"] == len(data.splits["validation"]) == 3
        check_equal(data, own(folder))


def test_rows_that_were_chosen_or_formatted_are_the_objects_rows(tmp_path: Path) -> None:
    """A selection is an index over other rows, and a format changes what a column gives."""
    rows = split([0, 1] * 15).shuffle(seed=1).filter(lambda row: row["text"] != TEXTS[3])
    data = own(rows.with_format("numpy"))
    check_equal(data, own(tsv(tmp_path / "rows", train=rows)))


def test_what_the_object_knows_of_itself_is_noted(tmp_path: Path) -> None:
    folder = tsv(tmp_path / "rows", train=split([0, 1] * 15))
    loaded = datasets.load_dataset(
        "csv",
        data_files=str(folder / "train.tsv"),
        delimiter="\t",
        cache_dir=str(tmp_path / "cache"),
    )
    about = own(loaded).about
    assert about["data"] == "csv"
    assert str(about["data_config"]).startswith("default")
    assert str(tmp_path) not in str(about)
    named = split([0, 1] * 15)
    named.info.dataset_name, named.info.config_name = "glue", "rte"
    named.info.version, named.info.license = "1.2.0", "cc-by-4.0"
    assert own(named).about == {
        "task": "mood",
        "data": "glue",
        "data_config": "rte",
        "data_version": "1.2.0",
        "data_license": "cc-by-4.0",
        "held_out": 4,
    }


def test_refusals(tmp_path: Path) -> None:
    rows = split([0, 1] * 15)
    with pytest.raises(DataError, match=r"mood: expected a split train, found test; choose"):
        own(datasets.DatasetDict(test=rows))
    with pytest.raises(DataError, match=r"mood: expected a split train, found no split"):
        own(datasets.DatasetDict())
    with pytest.raises(DataError, match=r"mood, train: expected at least one row, found none"):
        own(datasets.DatasetDict(train=rows.select([]), validation=rows))
    with pytest.raises(DataError, match=r"mood, train: .* a column 'verdict', found .*text, label"):
        own(rows, label_column="verdict")
    with pytest.raises(DataError, match=r"mood, train, row 2, column text: .*found an empty text"):
        own(split([0, 1], text=["a", " "]))
    with pytest.raises(DataError, match=r"row 1, column text: expected text, found int '1'"):
        own(datasets.Dataset.from_dict({"text": [1, 2], "label": [0, 1]}))
    with pytest.raises(DataError, match=r"expected a file or folder, found none"):
        own(tmp_path / "missing")
    for wrong in (rows.to_iterable_dataset(), {"train": [1]}, 5):
        for make in (
            lambda data: DataSpec(task="mood", data=data),
            lambda data: BuildOptions(task="mood", pairs=1, data=data),
            lambda data: FinetuneOptions(task="mood", model="m", data=data),
        ):
            with pytest.raises(UsageError, match=r"--data: .*DatasetDict, found (Iter|dict|int)"):
                make(wrong)


def test_both_tools_options_take_objects() -> None:
    rows = split([0, 1] * 15)
    empty = datasets.DatasetDict()
    assert BuildOptions(task="mood", pairs=10, data=rows).data_spec.data is rows
    assert BuildOptions(task="mood", pairs=10, data=empty).names_data
    assert FinetuneOptions(task="mood", model="m", data=rows).data_spec.data is rows


def test_nothing_imports_torch() -> None:
    code = (
        "import sys, datasets\n"
        "from mixkd.teacher_cache.data.load import DataSpec, load\n"
        "rows = datasets.Dataset.from_dict({'text': ['a', 'b'] * 9, 'label': [0, 1] * 9})\n"
        "load(DataSpec(task='mood', data=datasets.DatasetDict(train=rows)))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
