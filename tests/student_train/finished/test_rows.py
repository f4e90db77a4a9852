"""Rows for a finished student: what `--data` names, texts, standard input; which columns count.

How tables are read is tested in `tests/shared/data`.
"""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.data.json_tables import columns_of
from mixkd.shared.data.sources import Table
from mixkd.shared.errors import DataError, UsageError
from mixkd.student_train.finished import rows as module
from mixkd.student_train.finished.columns import label_column, text_columns, texts_of
from mixkd.student_train.finished.known_labels import KnownLabels
from mixkd.student_train.finished.rows import open_rows

ROWS = [{"text": "a, «b»", "label": "x"}, {"text": 'say "c"', "label": "y"}]


def test_a_file_a_folder_and_texts(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text('text,label\n"a, «b»",x\n"say ""c""",y\n')
    (tmp_path / "validation.tsv").write_text("text\nb\n")
    for data in (tmp_path, str(tmp_path / "test.csv"), iter(ROWS)):
        rows = open_rows(data)
        assert rows.columns == ("text", "label")
        assert rows.sample == tuple(ROWS) and list(rows.values) == ROWS
    assert open_rows(tmp_path, "validation").sample == ({"text": "b"},)
    for number in (1, 2):
        part = lzma.compress(f'{{"text": "part {number}"}}\n'.encode())
        (tmp_path / f"dev-{number}-of-2.jsonl.xz").write_bytes(part)
    assert [row["text"] for row in open_rows(tmp_path, "dev").values] == ["part 1", "part 2"]
    assert list(open_rows(["a", "b"]).values) == [{"text": "a"}, {"text": "b"}]


def test_objects_keep_the_names_of_classes(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])}
    )
    made = datasets.Dataset.from_list(ROWS, features=features)
    made.to_parquet(tmp_path / "rows.parquet")
    both = datasets.DatasetDict(train=made.select([0]), test=made)
    both.save_to_disk(tmp_path / "saved")
    for data in (tmp_path / "rows.parquet", made, both, str(tmp_path / "saved")):
        rows = open_rows(data)
        assert rows.class_names == {"label": ("x", "y")}
        assert [row["label"] for row in rows.values] == [0, 1]
    assert len(open_rows(both, "train").sample) == 1
    with pytest.raises(DataError, match="expected a split dev, found train, test; choose one"):
        open_rows(both, "dev")
    assert list(open_rows(made.to_iterable_dataset()).values)[1]["text"] == 'say "c"'
    with pytest.raises(UsageError, match="--data: expected .*, found IterableDatasetDict"):
        open_rows(datasets.IterableDatasetDict(test=made.to_iterable_dataset()))


@pytest.mark.parametrize(
    "text",
    [
        "text,label\na,0\n",
        "text\tlabel\na\t0\n",
        '{"text": "a", "label": "0"}\n',
        '[{"text": "a", "label": "0"}]',
        "\ufeff\ntext,label\na,0\n",
    ],
)
def test_standard_input(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert open_rows("-").sample == ({"text": "a", "label": "0"},)


def test_standard_input_that_is_not_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, message in (
        (b"", "standard input: expected at least one row"),
        (b"text\n\xff\n", "standard input: expected UTF-8 text, found byte 0xff at offset 5"),
        (b"text,label\na\n", "standard input, row 1: expected 2 columns"),
        (b"[1]", "standard input, row 1: expected a JSON object, found 1"),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(DataError, match=message):
            open_rows("-")


def test_only_a_sample_of_an_iterable_is_read_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_ROWS", 2)
    taken: list[int] = []

    def texts() -> Any:
        for number in range(10):
            taken.append(number)
            yield str(number)

    rows = open_rows(texts())
    assert len(taken) == 2
    assert len(list(rows.values)) == 10


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("text\n")
    for data, message in (
        ("missing.csv", "expected a file or folder, found none"),
        (tmp_path / "empty.csv", "expected at least one row, found none"),
        ([], "data: expected at least one row, found none"),
        (["a", 3], "data, row 2: expected a text, found int; give texts"),
        ([{"text": "a"}, {"words": "b"}], "data, row 2: expected an object with the keys text"),
        ("https://example.org/rows.csv", "an address, which cannot be read yet"),
        ("s3://bucket/rows", "an address, which cannot be read yet"),
    ):
        with pytest.raises(DataError, match=message):
            open_rows(data)  # type: ignore[arg-type]


def rows_of(**columns: list[Any]) -> module.Rows:
    names = list(columns)
    values = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return module.Rows(Table("here", columns_of("here", iter(values))), iter(values))


def test_columns_are_found_whatever_they_are_called() -> None:
    known = KnownLabels(("no", "yes"))
    rows = rows_of(
        id=["7", "8"], utterance=["one thing", "thing"], intent=["no", "yes"], rest=["p", "q"]
    )

    def is_label(_: str, value: object) -> bool:
        return known.number(value) is not None

    assert label_column(rows, None, is_label) == "intent"
    assert text_columns(rows, (), "intent") == ("utterance",)
    assert text_columns(rows, ("rest", "id"), None) == ("rest", "id")
    assert label_column(rows, "rest", is_label) == "rest"
    with pytest.raises(DataError, match="expected a column 'texts', found the columns id, utt"):
        text_columns(rows, ("texts",), None)
    with pytest.raises(UsageError, match="--text-columns: expected one or two different columns"):
        text_columns(rows, ("id", "rest", "utterance"), None)
    with pytest.raises(DataError, match="found texts in none, of the columns a; say .*--text-col"):
        text_columns(rows_of(a=[1]), (), None)
    with pytest.raises(DataError, match="found a, b among the columns a, b, c"):
        label_column(rows_of(a=["0"], b=["1"], c=["2"]), None, is_label)
    pair = rows_of(premise=["a"], hypothesis=["b"], label=[0])
    assert text_columns(pair, (), "label") == ("premise", "hypothesis")


def test_rows_need_no_label_and_texts_may_repeat() -> None:
    assert text_columns(rows_of(words=["go on", "stop it"] * 4), (), None) == ("words",)
    repeated = rows_of(words=["go on", "stop it"] * 4, intent=["x", "y"] * 4)
    with pytest.raises(DataError, match="expected a column of texts, .* texts in words or intent"):
        text_columns(repeated, (), None)


def test_a_value_that_is_not_a_text_is_named() -> None:
    for value, shown in ((None, "nothing"), (3, "int '3'"), ("\ud800", "half a character")):
        with pytest.raises(DataError, match=f"here, row 5, column a: expected text, found {shown}"):
            texts_of([{"a": "x"}, {"a": value}], ("a",), "here", 4)
    assert texts_of([{"a": ""}], ("a",), "here", 1) == [[""]]
