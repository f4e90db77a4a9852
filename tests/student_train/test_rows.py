"""Rows of every kind of table, one after the other; what is wrong is named with its row."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.errors import DataError, MissingFileError
from mixkd.student_train import rows as module
from mixkd.student_train.known_labels import KnownLabels
from mixkd.student_train.row_columns import label_column, text_columns, texts_of
from mixkd.student_train.rows import open_rows

ROWS = [{"text": "a, «b»", "label": "x"}, {"text": 'say "c"', "label": "y"}]
FILES = {
    "rows.csv": 'text,label\n"a, «b»",x\n"say ""c""",y\n',
    "rows.tsv": 'text\tlabel\na, «b»\tx\nsay "c"\ty\n',
    "rows.jsonl": "".join(json.dumps(row) + "\n\n" for row in ROWS),
    "rows.json": json.dumps(ROWS, indent=1),
}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", FILES)
def test_the_same_rows_from_each_format(name: str, packed: str, tmp_path: Path) -> None:
    data = ("\ufeff" + FILES[name]).encode()
    (tmp_path / f"{name}{packed}").write_bytes(gzip.compress(data) if packed else data)
    rows = open_rows(tmp_path / f"{name}{packed}")
    assert rows.columns == ("text", "label") and list(rows.values) == ROWS


def test_parquet_and_objects_keep_the_names_of_classes(tmp_path: Path) -> None:
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


def test_a_folder_and_texts_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test.csv").write_text("text\na\n")
    (tmp_path / "validation.tsv").write_text("text\nb\n")
    assert open_rows(tmp_path).sample == ({"text": "a"},)
    assert open_rows(tmp_path, "validation").sample == ({"text": "b"},)
    assert open_rows(["a", "b"]).sample == ({"text": "a"}, {"text": "b"})
    (tmp_path / "lines.txt").write_text("a, b\n\nc\r\n")
    assert open_rows(tmp_path / "lines.txt").sample == ({"text": "a, b"}, {"text": "c"})
    for text in (
        "text,label\na,0\n",
        "text\tlabel\na\t0\n",
        '{"text": "a", "label": "0"}\n',
        "\ntext,label\na,0\n",
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert open_rows("-").sample == ({"text": "a", "label": "0"},)


def test_only_a_sample_is_read_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_ROWS", 2)
    taken: list[int] = []

    def texts() -> Any:
        for number in range(10):
            taken.append(number)
            yield str(number)

    rows = open_rows(texts())
    assert len(taken) == 2
    assert len(list(rows.values)) == 10


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"x", r"expected one of \.tsv, \.csv, .*, found the extension '\.xlsx'"),
        ("a.csv", b"", r"a\.csv: expected at least one row"),
        ("a.csv", b"text,label\na,0\nb\n", r"a\.csv, row 2: .* 1 columns, where the header has 2"),
        ("a.csv", b"text,text\na,0\n", "names a column twice"),
        ("a.csv", b"text\n\xff\n", "row 1: expected a row of the table, found UnicodeDecodeError"),
        ("a.csv.gz", b"text\na\n", "row 1: .* BadGzipFile"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', r"row 2: .* '\[1\]' in place of an object"),
        ("a.json", b"[1, 2]", "row 1: .* '1' in place of an object"),
        ("a.parquet", b"PAR1", "expected a parquet file"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(open_rows(tmp_path / name).values)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a file or folder, found none"):
        open_rows("missing.csv")
    (tmp_path / "train.csv").write_text("text\na\n")
    with pytest.raises(DataError, match=r"expected one file test or .*, found train\.csv; name"):
        open_rows(tmp_path)
    assert open_rows(tmp_path, "train").sample
    for url in ("https://example.org/rows.csv", "s3://bucket/rows"):
        with pytest.raises(MissingFileError, match="an address, which cannot be read yet"):
            open_rows(url)


def test_a_name_on_the_hub_has_configuration_and_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*given: Any, **more: Any) -> dict[str, list[str]]:
        asked.append((*given, more["revision"]))
        return {"test": ["a text"]}

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    for name in ("owner/rows", "owner/rows:de@v1"):
        assert open_rows(name).sample == ({"text": "a text"},)
    assert asked == [("owner/rows", None, None), ("owner/rows", "de", "v1")]


def rows_of(**columns: list[Any]) -> module.Rows:
    names = list(columns)
    values = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return module.Rows("here", tuple(values), iter(values))


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
    with pytest.raises(DataError, match="found none among the columns a; name them with --text"):
        text_columns(rows_of(a=["x"]), (), None)
    with pytest.raises(DataError, match="found a, b among the columns a, b, c"):
        label_column(rows_of(a=["0"], b=["1"], c=["2"]), None, is_label)
    pair = rows_of(premise=["a"], hypothesis=["b"], label=[0])
    assert text_columns(pair, (), "label") == ("premise", "hypothesis")
    with pytest.raises(DataError, match="here, row 5, column a: expected text, found nothing"):
        texts_of([{"a": "x"}, {"a": None}], ("a",), "here", 4)
    with pytest.raises(DataError, match="row 1, column a: expected text, found int 3"):
        texts_of([{"a": 3}], ("a",), "here", 1)
