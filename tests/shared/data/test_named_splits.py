"""Splits are chosen by name, and what is left out is said."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.data.named_splits import OneSplit, Wanted
from mixkd.shared.data.read import read_source
from mixkd.shared.errors import DataError, UsageError
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from mixkd.teacher_cache.finetune import FinetuneOptions
from mixkd.teacher_cache.options import BuildOptions

datasets = pytest.importorskip("datasets")
SIZES = {"train": 30, "validation": 12, "test": 8, "extra": 20}


def folder(path: Path, *splits: str) -> Path:
    path.mkdir()
    for name in splits:
        rows = "".join(f"{name} {row},{row % 2}\n" for row in range(SIZES[name]))
        (path / f"{name}.csv").write_text("text,label\n" + rows, encoding="utf-8")
    return path


def in_memory(path: Path, *splits: str) -> Any:
    def rows(name: str) -> dict[str, list[Any]]:
        count = range(SIZES[name])
        return {"text": [f"{name} {row}" for row in count], "label": [row % 2 for row in count]}

    return datasets.DatasetDict({name: datasets.Dataset.from_dict(rows(name)) for name in splits})


def own(data: Any, **more: Any) -> Data:
    return load(DataSpec(task="mood", data=data, **more))


def sizes(data: Data) -> dict[str, int]:
    return {name: len(split) for name, split in data.splits.items()}


@pytest.mark.parametrize("make", [folder, in_memory])
def test_a_test_split_is_never_left_out_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Any
) -> None:
    data = make(tmp_path / "data", "train", "test")
    with caplog.at_level(logging.INFO, "mixkd"):
        assert sizes(own(data)) == {"train": 26, "validation": 4}
    assert "splits used: train; left out: test" in caplog.text
    assert "test is not used, neither to choose a teacher or student nor to score" in caplog.text
    assert "to validate on it: --validation-split test" in caplog.text
    assert "a stratified tenth of train is held out: 4 of 30 rows" in caplog.text
    assert sizes(own(data, validation_split=("test",))) == {"train": 30, "test": 8}


@pytest.mark.parametrize("make", [folder, in_memory])
def test_splits_by_name(tmp_path: Path, make: Any) -> None:
    data = make(tmp_path / "data", *SIZES)
    assert sizes(own(data)) == {"train": 30, "validation": 12}
    both = own(data, validation_split=("test", "validation"))
    assert sizes(both) == {"train": 30, "test": 8, "validation": 12}
    found = own(data, train_split="extra")
    assert sizes(found) == {"train": 20, "validation": 12}
    assert found.splits["train"].text_a[0].as_py() == "extra 0"
    swapped = own(data, train_split="validation", validation_split=("train",))
    assert sizes(swapped) == {"train": 12, "validation": 30}
    with pytest.raises(DataError, match=r"a split dev, found .*test.*; .*--validation-split"):
        own(data, validation_split=("dev",))
    with pytest.raises(DataError, match=r"a split fold, found .*extra.*; .*--train-split"):
        own(data, train_split="fold")


def test_a_file_has_one_split(tmp_path: Path) -> None:
    file = folder(tmp_path / "data", "train") / "train.csv"
    assert sizes(own(file, train_split="train")) == {"train": 26, "validation": 4}
    with pytest.raises(
        DataError, match=r"expected a split test, found train; .*--validation-split"
    ):
        own(file, validation_split=("test",))


def test_a_file_of_any_name_may_be_a_split(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", "extra")
    (data / "extra.csv").rename(data / "rows.csv")
    (data / "more.csv").write_text("text,label\na,0\nb,1\n", encoding="utf-8")
    found = own(data, train_split="rows", validation_split=("more",))
    assert sizes(found) == {"train": 20, "more": 2}
    assert len(own(data).splits["train"]) + len(own(data).splits["validation"]) == 22


def test_without_a_train_file_the_option_is_named(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", "test", "extra")
    with pytest.raises(DataError, match=r"a split train, found extra, test; .* --train-split"):
        own(data)
    assert sizes(own(data, train_split="test")) == {"train": 6, "validation": 2}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Test",), ["train", "test"]),
        (("test.2", "test-2"), ["train", "test_2", "test_2_2"]),
        (("2024",), ["train", "split_2024"]),
        (("x" * 60,), ["train", "x" * 41]),
        (("…",), ["train", "split"]),
        (("Train",), ["train", "validation"]),
    ],
)
def test_names_that_a_cache_cannot_have_are_respelled(
    names: tuple[str, ...], expected: list[str]
) -> None:
    assert list(Wanted(validation=names).choose("data", ["train", *names])) == expected


@pytest.mark.parametrize("make", [folder, in_memory])
def test_one_split_is_the_named_one_or_the_first_that_tests(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Any
) -> None:
    data = make(tmp_path / "data", *SIZES)

    def rows(data: Any, name: str | None = None) -> int:
        (table,) = read_source(data, OneSplit(name)).tables.values()
        return len(table)

    with caplog.at_level(logging.INFO, "mixkd"):
        assert rows(data) == SIZES["test"]
    assert "split used: test; left out: train, " in caplog.text
    assert rows(data, "extra") == SIZES["extra"]
    for name, message in (("fold", "split fold, found"), (None, "split test or .*, found train")):
        with pytest.raises(DataError, match=rf"expected a {message}.*; choose one with --split"):
            rows(make(tmp_path / str(name), "train"), name)


def test_data_of_one_table_have_no_splits_to_choose_from(tmp_path: Path) -> None:
    train = in_memory(tmp_path, "train")["train"]
    train.save_to_disk(tmp_path / "saved")
    files = folder(tmp_path / "data", "train", "test")
    (files / "train.csv").rename(files / "a.csv")
    (files / "test.csv").rename(files / "b.csv")
    for data, count in (
        (train, 30),
        (tmp_path / "saved", 30),
        (files / "a.csv", 30),
        (files, 38),
    ):
        (table,) = read_source(data, OneSplit("test")).tables.values()
        assert len(table) == count


@pytest.mark.parametrize("names", [("train",), ("test", "test"), ("",)])
def test_a_split_is_used_once(tmp_path: Path, names: tuple[str, ...]) -> None:
    for make in (
        lambda: DataSpec(task="mood", data="rows.csv", validation_split=names),
        lambda: BuildOptions("mood", 2, data="rows.csv", validation_split=names),
        lambda: FinetuneOptions("mood", "model", data="rows.csv", validation_split=names),
    ):
        with pytest.raises(UsageError, match=r"--validation-split: expected splits beside train"):
            make()


def test_folders_beside_a_train_file_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("train.csv", "raw/train.tsv", "raw/validation.tsv"):
        separator = "\t" if name.endswith("tsv") else ","
        rows = [f"a text of {name}{separator}{row % 2}" for row in range(8)]
        (tmp_path / name).write_text("\n".join([f"text{separator}label", *rows]))
    data = load(DataSpec("mood", str(tmp_path)))
    assert {text for split in data.splits.values() for text in split.text_a.to_pylist()} == {
        "a text of train.csv"
    }
