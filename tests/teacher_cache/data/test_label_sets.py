"""Multi-label data: every kind of list is read to the same rows of 0 and 1; bad lists are named."""

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

from mixkd.shared.errors import DataError
from mixkd.shared.metrics import CLASSIFICATION, MULTI_LABEL
from mixkd.teacher_cache.data.label_sets import LabelSets
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from mixkd.teacher_cache.data.logits import LogitsSpec
from mixkd.teacher_cache.data.splits import hold_out, subset
from mixkd.teacher_cache.data.targets import Classes
from tests.label_sets import NAMES, numbers, tables, write_tables

Tables = dict[str, list[dict[str, Any]]]


def read(data: Any, **more: Any) -> Data:
    return load(DataSpec("films", data, **more))


def as_jsonl(folder: Path, wanted: Tables) -> Any:
    for split, rows in wanted.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder)


def as_parquet(folder: Path, wanted: Tables) -> Any:
    for split, rows in wanted.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
    return str(folder)


def as_csv(folder: Path, wanted: Tables) -> Any:
    for split, rows in wanted.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "tags"])
            writer.writerows([row["text"], json.dumps(row["tags"])] for row in rows)
    return str(folder)


def as_object(folder: Path, wanted: Tables) -> Any:
    features = datasets.Features(
        text=datasets.Value("string"), tags=datasets.Sequence(datasets.ClassLabel(names=NAMES))
    )
    splits = {k: datasets.Dataset.from_list(v, features=features) for k, v in wanted.items()}
    return datasets.DatasetDict(splits)


def as_saved(folder: Path, wanted: Tables) -> Any:
    as_object(folder, wanted).save_to_disk(folder / "saved")
    return str(folder / "saved")


def as_parquet_of_datasets(folder: Path, wanted: Tables) -> Any:
    for split, rows in as_object(folder, wanted).items():
        rows.to_parquet(folder / f"{split}.parquet")
    return str(folder)


NAMED = (as_jsonl, as_parquet, as_csv)
NUMBERED = (as_object, as_saved, as_parquet_of_datasets)


@pytest.mark.parametrize("write", [*NAMED, *NUMBERED])
def test_lists_of_every_kind_are_read_to_0_and_1(
    tmp_path: Path, write: Callable[[Path, Tables], Any], caplog: pytest.LogCaptureFixture
) -> None:
    wanted = tables(40)
    with caplog.at_level(logging.INFO):
        found = read(write(tmp_path, wanted))
    assert (found.problem_type, found.label_names) == (MULTI_LABEL, NAMES)
    assert found.metric == "micro_f1"
    for split, rows in wanted.items():
        labels = found.splits[split].labels
        assert labels.dtype == np.int8
        assert labels.tolist() == [numbers(row["tags"]) for row in rows]
    per_row = sum(len(row["tags"]) for row in wanted["train"]) / len(wanted["train"])
    assert f"multi-label: 3 labels, {per_row:.1f} per row" in caplog.text


@pytest.mark.parametrize("write", NAMED)
def test_lists_of_numbers_have_the_names_that_are_given(
    tmp_path: Path, write: Callable[[Path, Tables], Any]
) -> None:
    wanted = tables(40)
    for rows in wanted.values():
        for row in rows:
            row["tags"] = [NAMES.index(name) for name in row["tags"]]
    data = write(tmp_path, wanted)
    bare, named = read(data), read(data, label_names=NAMES)
    assert (bare.label_names, named.label_names) == (("0", "1", "2"), NAMES)
    for found in (bare, named):
        labels = found.splits["train"].labels.tolist()
        assert labels == [[int(n in row["tags"]) for n in range(3)] for row in wanted["train"]]


def test_text_that_looks_like_a_list_may_be_a_name(tmp_path: Path) -> None:
    lines = "".join(f"{{}},[{'yes' if row % 2 else 'no'}]\n".format("a b") for row in range(20))
    (tmp_path / "rows.csv").write_text("text,label\n" + lines)
    found = read(str(tmp_path / "rows.csv"))
    assert (found.problem_type, found.label_names) == (CLASSIFICATION, ("[no]", "[yes]"))


def as_flags(folder: Path, wanted: Tables, cell: Callable[[int], object] = int) -> str:
    """One column per label, in an order of their own."""
    for split, rows in wanted.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["odd", "text", "bright", "dull"])
            for row in rows:
                bright, dull, odd = map(cell, numbers(row["tags"]))
                writer.writerow([odd, row["text"], bright, dull])
    return str(folder)


@pytest.mark.parametrize("cell", [int, bool, float])
def test_several_columns_of_0_and_1_name_the_labels(
    tmp_path: Path, cell: Callable[[int], object]
) -> None:
    wanted = tables(40)
    found = read(as_flags(tmp_path, wanted, cell), label_column="odd,bright,dull")
    assert (found.problem_type, found.label_names) == (MULTI_LABEL, ("odd", "bright", "dull"))
    for split, rows in wanted.items():
        bright, dull, odd = np.array([numbers(row["tags"]) for row in rows]).T
        assert found.splits[split].labels.T.tolist() == [
            odd.tolist(),
            bright.tolist(),
            dull.tolist(),
        ]
    assert found.splits["train"].text_a.to_pylist() == [row["text"] for row in wanted["train"]]


def test_columns_that_are_not_0_and_1_are_named(tmp_path: Path) -> None:
    data = as_flags(tmp_path, tables(40), lambda tag: 2 * tag)
    with pytest.raises(
        DataError, match=r"train.csv, row \d+, column \w+: expected 0 or 1, found '2'"
    ):
        read(data, label_column="odd,bright,dull")
    with pytest.raises(DataError, match="expected a column 'quiet', found the columns odd, text"):
        read(data, label_column="odd,quiet")


@pytest.mark.parametrize(
    ("row", "tags", "message"),
    [
        (3, None, r"found None \(no label\); remove rows without a label"),
        (3, "odd", r"expected a list of labels, .*3 classes \(bright, dull, odd\), found 'odd'"),
        (3, ["odd", "new"], r"found \['odd', 'new'\]; correct the row"),
        (3, ["odd", "odd"], r"expected a list of labels, each once .*found \['odd', 'odd'\]"),
        (3, [["odd"]], r"expected a list of class numbers or of names, found a list"),
        (3, [{"name": "odd"}], r"found an object"),
        (3, [None], r"expected a list of class numbers or of names, found nothing"),
        (3, ["\ud800"], r"found half a character"),
        (3, [0.0, 1.0], r"found the number 0 \(of a row of 0 and 1, list where the 1s are\)"),
    ],
)
def test_bad_lists_are_named_by_their_row(
    tmp_path: Path, row: int, tags: Any, message: str
) -> None:
    wanted = tables(40)
    wanted["validation"][row]["tags"] = tags
    with pytest.raises(DataError, match=rf"row {row + 1}, column tags: .*{message}") as caught:
        read(as_jsonl(tmp_path, wanted), label_names=NAMES)
    assert "\n" not in str(caught.value)


def test_too_few_labels_and_numbers_with_a_gap(tmp_path: Path) -> None:
    for tags, message in (
        ([], "expected rows of at least two classes, found empty lists alone"),
        (["odd"], "expected rows of at least two classes, found only 'odd'"),
        ([0, 2], "expected class numbers from 0 on, without a gap, found 0, 2"),
    ):
        wanted = tables(40)
        for row in wanted["train"]:
            row["tags"] = tags
        with pytest.raises(DataError, match=message):
            read(as_jsonl(tmp_path, wanted), label_column="tags")


def test_rows_without_labels_and_augmented_ones(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "data", 40)
    (tmp_path / "more.csv").write_text("text\nnew\nnewer\n")
    lines = [
        {"text": "the odd film", "source": 5, "tags": tables(40)["train"][5]["tags"]},
        {"text": "a film", "source": 2},
    ]
    augmented = tmp_path / "augmented.jsonl"
    augmented.write_text(json.dumps(lines[0]))
    found = read(str(folder), augmented=(str(augmented),), unlabelled=(str(tmp_path / "more.csv"),))
    labels = found.splits["train"].labels
    assert labels[40].tolist() == numbers(lines[0]["tags"])
    assert labels[41:].tolist() == [[-1] * 3] * 2
    rest = read(str(folder), subset=0.5, unlabelled=("rest",)).splits["train"].labels
    assert (len(rest), int((rest[:, 0] < 0).sum())) == (40, 40 - int((rest[:, 0] >= 0).sum()))
    assert {tuple(row) for row in rest[rest[:, 0] < 0].tolist()} == {(-1, -1, -1)}
    lines[0]["tags"] = ["bright", "dull", "odd"]
    augmented.write_text(json.dumps(lines[0]))
    with pytest.raises(DataError, match=r"label of its source, \[.*\], found \[0, 1, 2"):
        read(str(folder), augmented=(str(augmented),))


def test_train_may_lack_the_column(tmp_path: Path) -> None:
    wanted = tables(40)
    for row in wanted["train"]:
        del row["tags"]
    found = read(as_jsonl(tmp_path, wanted), label_column="tags", label_names=NAMES)
    assert found.splits["train"].labels.tolist() == [[-1] * 3] * 40
    assert found.splits["validation"].labels.min() == 0


def test_parts_have_their_share_of_each_label_by_the_rarest_of_a_row() -> None:
    choose = np.random.default_rng(0)
    labels = (choose.random((400, 4)) < [0.6, 0.3, 0.1, 0.03]).astype(np.int8)
    kept, held = hold_out(labels)
    assert len(held) == pytest.approx(40, abs=3) and {*kept} | {*held} == {*range(400)}
    for part, share in ((held, 0.1), (subset(labels, 0.25), 0.25)):
        rare = labels[part, 3].sum()
        assert rare == max(1, round(share * labels[:, 3].sum())), "the rarest label is stratified"
        assert labels[part, 0].mean() == pytest.approx(labels[:, 0].mean(), abs=0.1)


def given(tmp_path: Path, answers: Callable[[list[int]], list[float]], kind: str = "auto") -> Data:
    wanted = tables(20)
    for rows in wanted.values():
        for row in rows:
            row["llm"] = answers(numbers(row["tags"]))
    return load(DataSpec("films", as_jsonl(tmp_path, wanted)), LogitsSpec(("llm",), kind))


def test_given_probabilities_are_each_labels_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They sum to anything, and their sigmoid gives them back."""
    with caplog.at_level(logging.INFO):
        found = given(tmp_path, lambda tags: [0.25 + 0.5 * tag for tag in tags])
    assert found.logits_kind == "probabilities"
    assert "taken as probabilities, since each row is in [0, 1]; stored" in caplog.text
    logits = found.given.as_logits(MULTI_LABEL)["train"]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), found.given.values["train"], atol=1e-12)
    certain = given(tmp_path, lambda tags: [float(tag) for tag in tags])
    assert np.abs(certain.given.as_logits(MULTI_LABEL)["train"]).max() == pytest.approx(
        np.log((1 - 1e-7) / 1e-7)
    )
    logits = given(tmp_path, lambda tags: [3.0 * tag - 1 for tag in tags])
    assert logits.logits_kind == "logits"


def test_given_numbers_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected 3 numbers per row, .*found 2"):
        given(tmp_path, lambda tags: [0.1, 0.9])
    with pytest.raises(DataError, match=r"expected probabilities in \[0, 1\], found -1"):
        given(tmp_path, lambda tags: [3.0 * tag - 1 for tag in tags], "probabilities")
    likely = r"expected probabilities in \[0, 1\], as in .* rows, or logits, found 1.5"
    with pytest.raises(DataError, match=likely):
        given(tmp_path, lambda tags: [1.5 if sum(tags) == 3 else 0.5] * 3)


def test_an_empty_list_is_a_label() -> None:
    from mixkd.shared.data.sources import Column, Table

    table = Table("x", {"tags": Column(2, lambda: [[[], ["b", "a"]]])})
    found = LabelSets(Classes(("a", "b", "c"), by_name=True)).read(table, "tags")
    assert found.tolist() == [[0, 0, 0], [1, 1, 0]]
