"""Given logits: read from every kind of table, their kind decided aloud, bad rows named."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixkd.shared.errors import DataError, UsageError
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from mixkd.teacher_cache.data.logits import FLOOR, GivenLogits, LogitsSpec

LABELS = ["no", "yes", "no", "yes"]
ANSWERS = [[0.9, 0.1], [0.25, 0.75], [1.0, 0.0], [0.4999, 0.5004]]


def rows_of(answers: list[Any], labels: list[Any] = LABELS) -> dict[str, list[Any]]:
    texts = [f"text {number}" for number in range(len(labels))]
    return {"text": texts, "label": labels, "llm": answers}


def as_json(folder: Path, split: str, table: dict[str, list[Any]]) -> None:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")


def as_parquet(folder: Path, split: str, table: dict[str, list[Any]]) -> None:
    pq.write_table(pa.table(table), folder / f"{split}.parquet")


def as_csv(folder: Path, split: str, table: dict[str, list[Any]]) -> None:
    with (folder / f"{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        cells = (*list(table.values())[:2], map(json.dumps, table["llm"]))
        writer.writerows(zip(*cells, strict=True))


WRITERS = {"jsonl": as_json, "parquet": as_parquet, "csv": as_csv}


def read(
    folder: Path, kind: str = "auto", columns: tuple[str, ...] = ("llm",), **more: Any
) -> Data:
    dtype = more.pop("dtype", "float32")
    return load(DataSpec("mood", str(folder), **more), LogitsSpec(columns, kind, dtype))


def tables(
    folder: Path,
    train: list[Any],
    validation: list[Any] | None = None,
    write: Callable[..., None] = as_json,
    **more: Any,
) -> Path:
    write(folder, "train", rows_of(train, **more))
    write(folder, "validation", rows_of(train if validation is None else validation, **more))
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_each_format_gives_the_same_numbers(tmp_path: Path, name: str) -> None:
    given = read(tables(tmp_path, ANSWERS, write=WRITERS[name])).given
    assert given.kind == "probabilities"
    for split in ("train", "validation"):
        np.testing.assert_array_equal(given.values[split], np.array(ANSWERS))


def test_an_object_of_datasets_and_columns_for_each_class(tmp_path: Path) -> None:
    table = rows_of(ANSWERS)
    table |= {"p_no": [row[0] for row in ANSWERS], "p_yes": [row[1] for row in ANSWERS]}
    split = datasets.Dataset.from_dict(table)
    data = datasets.DatasetDict(train=split, validation=split)
    for columns in (("llm",), ("p_no", "p_yes")):
        given = load(DataSpec("mood", data), LogitsSpec(columns)).given
        np.testing.assert_array_equal(given.values["validation"], np.array(ANSWERS))


def test_the_columns_of_logits_are_never_texts(tmp_path: Path) -> None:
    """A csv has them as text, and a table may call them what texts are often called."""
    table = {"text": [f"{n} words" for n in range(4)], "label": LABELS}
    for split in ("train", "validation"):
        as_csv(tmp_path, split, {**table, "llm": ANSWERS})
        file = tmp_path / f"{split}.csv"
        file.write_text(file.read_text().replace("text,label,llm", "words,label,text"))
    for chosen in ((), ("words",)):
        data = read(tmp_path, columns=("text",), text_columns=chosen)
        assert data.splits["train"].text_a.to_pylist() == table["text"]


def test_rows_that_are_left_out_take_their_logits_along(tmp_path: Path) -> None:
    labels = ["no", "yes"] * 20
    answers = [[float(row), -float(row)] for row in range(40)]
    as_json(tmp_path, "train", rows_of(answers, labels))
    data = read(tmp_path / "train.jsonl", subset=0.5)
    assert data.about["held_out"] == 4
    assert len(data.splits["train"]) == 18
    for split in data.splits.values():
        numbers = [float(text.split()[1]) for text in split.text_a.to_pylist()]
        np.testing.assert_array_equal(data.given.values and split.logits[:, 0], numbers)  # type: ignore[index]


def said(caplog: pytest.LogCaptureFixture) -> str:
    return next(line for line in caplog.messages if line.startswith("column"))


def test_what_auto_decided_and_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert read(tables(tmp_path, ANSWERS)).logits_kind == "probabilities"
    because = "each row is in [0, 1] and sums to 1; stored as logarithms"
    assert said(caplog) == f"column llm: taken as probabilities, since {because}"
    caplog.clear()
    logits = [ANSWERS[0], *[[2.5, -1]] * 3]
    assert read(tables(tmp_path, logits)).logits_kind == "logits"
    row = "row 2 of train is not in [0, 1]"
    assert said(caplog) == f"column llm: taken as logits, since {row}"
    assert read(tables(tmp_path, ANSWERS), kind="logits").logits_kind == "logits"


def test_probabilities_become_logarithms_with_a_floor() -> None:
    rows = np.array([[0.25, 0.75], [1.0, 0.0]])
    logits = GivenLogits("probabilities", {"train": rows}).as_logits(CLASSIFICATION)["train"]
    np.testing.assert_allclose(logits, np.log([[0.25, 0.75], [1.0, FLOOR]]))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, rows, atol=1e-6)
    given = GivenLogits("logits", {"train": rows})
    np.testing.assert_array_equal(given.as_logits(CLASSIFICATION)["train"], rows)


SPOILED: list[tuple[Any, str]] = [
    ([0.2, 0.3, 0.5], "expected 2 finite numbers, one for each class, found 3 numbers"),
    ([0.5], "found 1 number: "),
    (0.5, "found 1 number: 0.5"),
    ([], "found an empty list"),
    (None, "found nothing: None"),
    ([0.5, None], r"found nothing: \[0.5, None\]"),
    ([True, False], r"found a value of type bool: \[True, False\]"),
    (["0.5", "0.5"], "found a value of type str"),
    ({"no": 0.5}, "found a value of type dict"),
    ([float("nan"), 0.5], "found NaN or infinity: .nan, 0.5"),
    ([float("-inf"), 0.0], "found NaN or infinity"),
    ([10**400, 0], "found a number that is too large"),
    ([1e39, 0.0], "found a number too large for float32"),
    ("0.1, 0.9", "found text that is not a JSON list of numbers: '0.1, 0.9'"),
    ("[" * 20_000, "found text that is not a JSON list of numbers"),
]


@pytest.mark.parametrize(("cell", "message"), SPOILED)
def test_a_row_that_is_not_c_numbers_is_named(tmp_path: Path, cell: Any, message: str) -> None:
    folder = tables(tmp_path, ANSWERS, [ANSWERS[0], cell, *ANSWERS[2:]])
    with pytest.raises(DataError, match=message) as told:
        read(folder)
    assert str(told.value).startswith(f"{folder}/validation.jsonl, row 2, column llm: ")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 500


PROBABILITIES: list[tuple[list[float], str, str]] = [
    ([-0.1, 1.1], "probabilities", "found -0.1; .* say --logits-kind logits if they are"),
    ([0.3, 1.2], "probabilities", "found 1.2"),
    ([0.3, 0.6], "probabilities", r"in \[0, 1\] that sum to 1, found the sum 0.9"),
    ([0.3, 0.6], "auto", "found the sum 0.9; .* say which they are with --logits-kind"),
    ([-1.0, -1.0], "auto", "as in 7 of 8 rows, or logits, found -1; correct the row, or say which"),
]


@pytest.mark.parametrize(("row", "kind", "message"), PROBABILITIES)
def test_probabilities_that_are_not(
    tmp_path: Path, row: list[float], kind: str, message: str
) -> None:
    with pytest.raises(DataError, match=rf"train\.jsonl, row 3, column llm: .*{message}"):
        read(tables(tmp_path, [*ANSWERS[:2], row, ANSWERS[3]], ANSWERS), kind)


def test_probabilities_of_single_precision_are_a_little_off(tmp_path: Path) -> None:
    given = read(tables(tmp_path, [*ANSWERS[:3], [1.0000001, -1e-8]])).given
    assert given.kind == "probabilities"
    assert np.isfinite(given.as_logits(CLASSIFICATION)["train"]).all()


def test_another_width_than_the_classes(tmp_path: Path) -> None:
    three = [[1.0, 2.0, 3.0]] * 4
    with pytest.raises(DataError, match=r"2 numbers per row, one for each class \(no, yes\), fou"):
        read(tables(tmp_path, three))
    names = ("no", "yes", "perhaps")
    assert read(tmp_path, label_names=names).given.values["train"].shape == (4, 3)
    with pytest.raises(DataError, match="row 1, column llm: expected 2 finite .*found 3 numbers"):
        read(tables(tmp_path, ANSWERS, three))


def test_columns_that_are_missing_or_hold_lists(tmp_path: Path) -> None:
    folder = tables(tmp_path, ANSWERS)
    with pytest.raises(DataError, match="a column 'gpt', found the columns .* --logits-column"):
        read(folder, columns=("gpt",))
    with pytest.raises(DataError, match="several numbers in one of several columns"):
        read(tables(tmp_path, ANSWERS, labels=[0, 1, 0, 1]), columns=("llm", "label"))
    with pytest.raises(UsageError, match="--logits-column: .*different columns"):
        LogitsSpec(("llm", "llm"))
    with pytest.raises(UsageError, match="--logits-kind: expected one of auto, logits, prob"):
        LogitsSpec(("llm",), "odds")


def test_float16_holds_less(tmp_path: Path) -> None:
    folder = tables(tmp_path, [[70_000.0, 0.0]] * 4)
    assert read(folder).logits_kind == "logits"
    with pytest.raises(DataError, match="a number too large for float16"):
        read(folder, dtype="float16")


def test_a_regression_has_one_number(tmp_path: Path) -> None:
    labels = [0.5, 1.5, 2.5, 3.5]
    folder = tables(tmp_path, [0.1, 0.9, 0.2, [0.8]], labels=labels)
    data = read(folder)
    assert (data.problem_type, data.logits_kind) == ("regression", "logits")
    np.testing.assert_array_equal(data.given.values["train"], [[0.1], [0.9], [0.2], [0.8]])
    with pytest.raises(DataError, match="expected 1 number per row, for a regression, found 2"):
        read(tables(tmp_path, ANSWERS, labels=labels))
