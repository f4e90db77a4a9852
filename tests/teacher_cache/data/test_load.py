"""Data of the user's own and of GLUE's shape: every format, held-out rows, subsets, refusals."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixkd.shared.data.files import read_file
from mixkd.shared.errors import DataError, MixkdError, UsageError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.teacher_cache.data.encode import tokenise
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from tests import miniature

ROWS = [
    {"text": 'a "quoted" film', "label": "good"},
    {"text": "dull, odd", "label": "bad"},
    {"text": "été ☃", "label": "good"},
    {"text": "never again", "label": "bad"},
]


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def write_rows(folder: Path, extension: str, stem: str = "train") -> Path:
    """ROWS in each format."""
    if extension == "jsonl":
        text = "".join(json.dumps(row) + "\n" for row in ROWS)
    elif extension == "tsv":
        text = "text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in ROWS)
    elif extension == "csv":
        quoted = (row["text"].replace('"', '""') for row in ROWS)
        cells = zip(quoted, (row["label"] for row in ROWS), strict=True)
        text = "text,label\r\n" + "".join(f'"{text}",{label}\r\n' for text, label in cells)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(ROWS), folder / f"{stem}.parquet")
        return folder / f"{stem}.parquet"
    return write(folder, f"{stem}.{extension}", text)


def own(path: Path, **more: Any) -> Data:
    return load(DataSpec(task="mood", data=str(path), **more))


def counts(data: Data, split: str) -> dict[Any, int]:
    return dict(Counter(data.splits[split].labels.tolist()))


@pytest.mark.parametrize("extension", ["tsv", "csv", "jsonl", "parquet"])
def test_the_same_rows_in_every_format_are_the_same_data(tmp_path: Path, extension: str) -> None:
    write_rows(tmp_path, extension)
    write_rows(tmp_path, extension, "validation")
    data = own(tmp_path)
    assert data.splits["train"].text_a.to_pylist() == [row["text"] for row in ROWS]
    assert data.label_names == ("bad", "good")
    assert data.splits["train"].labels.tolist() == [1, 0, 1, 0]
    assert data.splits["train"].labels.dtype == np.int64
    assert data.about == {"task": "mood", "data": tmp_path.name}
    assert data.metric == "accuracy"
    reference = write_rows(tmp_path / "reference", "jsonl", "validation").with_name("train.jsonl")
    write_rows(reference.parent, "jsonl")
    assert data.texts_sha256() == own(reference.parent).texts_sha256()


@pytest.mark.parametrize("name", ["validation", "dev", "valid"])
def test_a_folder_has_a_validation_file_under_one_of_three_names(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path, "tsv")
    write_rows(tmp_path, "csv", name)
    data = own(tmp_path)
    assert list(data.splits) == ["train", "validation"]
    assert len(data.splits["validation"]) == len(ROWS)
    assert "held_out" not in data.about


def test_without_validation_a_stratified_tenth_is_held_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"text {row}\t{'ab'[row % 10 < 3]}\n" for row in range(100)]
    file = write(tmp_path, "rows.tsv", "text\tlabel\n" + "".join(lines))
    with caplog.at_level(logging.INFO, "mixkd"):
        data = own(file)
    assert "a stratified tenth of train is held out: 10 of 100 rows" in caplog.text
    assert counts(data, "train") == {0: 63, 1: 27}
    assert counts(data, "validation") == {0: 7, 1: 3}
    texts = [text for split in data.splits.values() for text in split.text_a.to_pylist()]
    assert sorted(texts) == sorted(f"text {row}" for row in range(100))
    assert data.splits["validation"].text_a == own(file).splits["validation"].text_a
    assert data.about["held_out"] == 10


def test_both_validation_splits_of_mnli_are_read_from_a_folder(tmp_path: Path) -> None:
    for stem in ("train", "validation_matched", "validation_mismatched"):
        rows = "".join(f"p{row}\th{row}\t{row % 3}\n" for row in range(6))
        write(tmp_path, f"{stem}.tsv", "premise\thypothesis\tlabel\n" + rows)
    data = load(DataSpec(task="mnli", data=str(tmp_path)))
    assert list(data.splits) == ["train", "validation_matched", "validation_mismatched"]
    assert data.label_names == ("entailment", "neutral", "contradiction")
    assert data.splits["train"].text_b.to_pylist() == [f"h{row}" for row in range(6)]
    (tmp_path / "validation_mismatched.tsv").unlink()
    one = load(DataSpec(task="mnli", data=str(tmp_path)))
    assert list(one.splits) == ["train", "validation_matched"]
    (tmp_path / "validation_matched.tsv").rename(tmp_path / "dev.tsv")
    assert list(load(DataSpec(task="mnli", data=str(tmp_path))).splits) == ["train", "validation"]


def test_a_subset_is_stratified_nested_and_keeps_every_class(tmp_path: Path) -> None:
    lines = [f"text {row}\t{0 if row < 90 else 1 if row < 99 else 2}\n" for row in range(100)]
    write(tmp_path, "train.tsv", "text\tlabel\n" + "".join(lines))
    write(tmp_path, "dev.tsv", "text\tlabel\n" + "".join(lines))
    tenth, third = own(tmp_path, subset=0.1), own(tmp_path, subset=0.3)
    assert counts(tenth, "train") == {0: 9, 1: 1, 2: 1}
    assert {*tenth.splits["train"].text_a.to_pylist()} < {*third.splits["train"].text_a.to_pylist()}
    assert len(tenth.splits["validation"]) == 100
    assert tenth.about["subset"] == 0.1


@pytest.mark.parametrize("labels", ["0.0 2.5 1.0 4.0", "0 2.5 1 4"])
def test_decimal_labels_are_a_regression(tmp_path: Path, labels: str) -> None:
    rows = "".join(f"text\t{label}\n" for label in labels.split())
    write(tmp_path, "train.tsv", "text\tlabel\n" + rows)
    write(tmp_path, "dev.tsv", "text\tlabel\n" + rows)
    data = own(tmp_path)
    assert data.problem_type == REGRESSION and data.label_names == ()
    assert data.splits["train"].labels.dtype == np.float32
    assert data.metric == "pearson"


def test_stsb_is_a_regression_even_of_whole_numbers(tmp_path: Path) -> None:
    rows = "".join(f"a\tb\t{label}\n" for label in range(5))
    file = write(tmp_path, "train.tsv", "sentence1\tsentence2\tlabel\n" + rows * 4)
    data = load(DataSpec(task="stsb", data=str(file)))
    assert data.problem_type == REGRESSION
    assert len(data.splits["validation"]) == 2


@pytest.mark.parametrize(
    ("labels", "given", "expected"),
    [
        ("0 1 2 0", (), [0, 1, 2, 0]),
        ("0 1 2 0", ("x", "y", "z"), [0, 1, 2, 0]),
        ("z x y z", ("x", "y", "z"), [2, 0, 1, 2]),
        ("1 2 3 1", ("1", "2", "3"), [0, 1, 2, 0]),
        ("0 1 2 0", ("1", "2", "0"), [2, 0, 1, 2]),
        ("0 1 2 0", ("1", "2", "3"), [0, 1, 2, 0]),
    ],
)
def test_labels_are_numbers_or_names(
    tmp_path: Path, labels: str, given: tuple[str, ...], expected: list[int]
) -> None:
    rows = "".join(f"text\t{label}\n" for label in labels.split())
    write(tmp_path, "train.tsv", "text\tlabel\n" + rows)
    write(tmp_path, "dev.tsv", "text\tlabel\n" + rows)
    data = own(tmp_path, label_names=given)
    assert data.splits["train"].labels.tolist() == expected
    assert data.label_names == (given or ("0", "1", "2"))
    assert data.problem_type == CLASSIFICATION


def test_names_and_columns_come_from_the_folder_or_the_options(tmp_path: Path) -> None:
    table = "id\tcomment\treply\tverdict\n1\ta\tb\t0\n2\tc\td\t1\n"
    write(tmp_path, "train.tsv", table)
    write(tmp_path, "dev.tsv", table)
    write(tmp_path, "label_names.txt", "no\nyes\n")
    chosen = {"text_columns": ("comment", "reply"), "label_column": "verdict"}
    data = own(tmp_path, **chosen)
    assert data.label_names == ("no", "yes")
    assert data.splits["train"].text_b.to_pylist() == ["b", "d"]
    assert own(tmp_path, **chosen, label_names=("n", "y")).label_names == ("n", "y")


def test_spreadsheets_byte_order_mark_and_inner_separators_are_read(tmp_path: Path) -> None:
    text = "\ufefftext\tlabel\none\u2028line\x85only\t0\r\nother\t1\r\n\n"
    table = read_file(write(tmp_path, "train.tsv", text))
    columns = {name: list(values) for name, values in table.columns.items()}
    assert columns == {"text": ["one\u2028line\x85only", "other"], "label": ["0", "1"]}
    quoted = read_file(write(tmp_path, "train.csv", 'text,label\n"two\nlines, one row",0\n'))
    assert [*quoted.columns["text"]] == ["two\nlines, one row"]


HEADER = "text\tlabel\n"
TWO = "a\t0\nb\t1\n"


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (
            "one\tother\tlabel\n" + "a\tb\t0\n" * 2,
            None,
            r"a column of texts, .*texts in one or other, of .*; say which.*--text-columns one$",
        ),
        ("text\tclass\n" + TWO, None, r"found labels in none, of the.* --label-column NAME$"),
        (HEADER + TWO + "c\t2\n", HEADER + "a\t3\n", r"dev.tsv, row 1, .*\(0, 1, 2\), found '3'"),
        (HEADER + "a\tx\nb\ty\n", HEADER + "a\tz\n", r"dev.tsv, row 1, .*\(x, y\), found 'z'"),
        (HEADER + "a\t1\nb\t2\n", None, r"column label: .*without a gap, found 1, 2; .*--label-na"),
        (HEADER + "a\t0\nb\t-1\n", None, r"found -1, 0 \(no label\); .*without a label"),
        (HEADER + TWO + " \t0\n", HEADER + TWO, r"train.tsv, row 3, column text: .*an empty text"),
        (HEADER + TWO, HEADER, r"dev.tsv: expected at least one row, found none"),
        ("", None, r"train.tsv: expected at least one row"),
        (HEADER + "a\t0\n", HEADER + TWO, r"at least two training rows.*found 1; add rows"),
        (HEADER + "a\t0\nb\t0\n", HEADER + TWO, r"at least two classes, found only '0'"),
        (HEADER + "a\t0.5\n", HEADER + "b\t0.1\n", r"at least two training rows.*found 1; "),
        (HEADER + TWO, None, r"found 2, too few to hold out"),
        (HEADER + "a\t0\nb\n", None, r"train.tsv, row 2: expected 2 columns .*found 1; correct"),
        (HEADER + "a\tx\t0\n", None, r"train.tsv, row 1: expected 2 columns .*found 3; correct"),
        ("text\ttext\na\tb\n", None, r"header: expected a different name .*text, text"),
        (HEADER + "a\t0.5\nb\tnan\n", HEADER + "a\t0.5\n", r"row 2, .*finite number, found 'nan'"),
        (HEADER + TWO + "c\t\n", HEADER + TWO, r"train.tsv, row 3, .*'' \(no label\); remove"),
        (HEADER + "a\rb\t0\n", None, r"train.tsv, line 2: expected a row .*; correct it"),
    ],
)
def test_bad_rows_are_named_in_one_line(
    tmp_path: Path, train: str, validation: str | None, message: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.tsv").write_bytes(train.encode())
    if validation is not None:
        (folder / "dev.tsv").write_bytes(validation.encode())
    with pytest.raises(DataError, match=message) as caught:
        own(folder)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            '{"text": "a", "label": 0}\n{"text": "b"}\n',
            r"row 2: .*keys text, label, found the k",
        ),
        ('{"text": "a", "label": 0}\n{"text": \n', r"row 2: expected an object"),
        ("[1, 2]\n", r"row 1: expected a JSON object, found \[1, 2\]"),
        ('{"text": 5, "label": 0}\n', r"row 1, column text: expected text, found int '5'"),
        ('{"text": null, "label": 0}\n', r"row 1, column text: expected text, found nothing"),
        ('{"text": "\\ud800", "label": 0}\n', r"row 1, .*half a character"),
        ('{"text": "a", "label": null}\n', r"row 1, column label: .*found None \(no label\)"),
        (
            '{"text": "a", "label": [0]}\n',
            r"row 1, column label: .*found a list, where most",
        ),
    ],
)
def test_bad_json_lines_are_named_in_one_line(tmp_path: Path, lines: str, message: str) -> None:
    rest = '{"text": "c", "label": 1}\n{"text": "d", "label": 0}\n'
    write(tmp_path, "train.jsonl", lines + rest)
    write(tmp_path, "dev.jsonl", rest)
    with pytest.raises(DataError, match=message):
        own(tmp_path, label_names=("no", "yes"))


def test_files_that_are_not_what_they_say(tmp_path: Path) -> None:
    def refused(name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            own(tmp_path / name)

    refused("rows.tsv", b"text\tlabel\ncaf\xe9\t0\n", r"expected UTF-8 text, found byte 0xe9 at")
    refused("rows.xlsx", b"PK", r"\.tsv, .*\.parquet, \.arrow, found the extension '\.xlsx'")
    refused("rows.parquet", b"not parquet at all", r"expected a parquet file, found")
    refused(
        "rows.csv", b'text,label\n"open,0\n', r"rows.csv, line .*unexpected end of data; correct"
    )


def test_folders_that_do_not_say_what_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"files named after splits, .* .*found an empty folder"):
        own(tmp_path)
    write(tmp_path, "notes.txt", "nothing")
    with pytest.raises(DataError, match=r"files named after splits, .* .*found notes.txt"):
        own(tmp_path)
    write_rows(tmp_path, "tsv")
    write_rows(tmp_path, "csv")
    with pytest.raises(DataError, match=r"one file train\.\*, found train.csv, train.tsv"):
        own(tmp_path)


def test_what_is_neither_here_nor_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a file or folder, found none; check the path"):
        own(tmp_path / "missing")
    with pytest.raises(DataError, match=r"owner/missing: expected a data set on the Hub, or .*N"):
        own(Path("owner/missing"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "mood"}, r"one of cola, .*found 'mood'; .*--data"),
        ({"task": "rte", "subset": 0.0}, r"--subset: expected a part above 0"),
        ({"task": "rte", "subset": 1.5}, r"--subset: .*found 1.5"),
        ({"task": "rte", "text_columns": ("a", "b", "c")}, r"--text-columns: expected one or two"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        DataSpec(**options)
    assert caught.value.exit_code == 2


def test_repeated_label_names_are_refused(data: Path) -> None:
    with pytest.raises(MixkdError, match="--label-names: expected a different name"):
        own(data, label_names=("a", "a"))


def test_examples_are_tokenised_without_padding(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = miniature.tiny_data(tmp_path / "data", rows=12, classes=3, pairs=True)
    data = own(folder)
    for style, has_types in (("bert", True), ("roberta", False)):
        miniature.tiny_tokenizer(tmp_path / style, style)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / style)
        examples = tokenise(data, tokenizer, 12)
        assert list(examples) == ["train", "validation"]
        train = examples["train"]
        assert train.lengths.max() <= 12
        assert (train.token_type_ids is not None) is has_types
        assert train.text_b == data.splits["train"].text_b
        for row in range(len(train)):
            alone = tokenizer(
                data.splits["train"].text_a[row].as_py(),
                data.splits["train"].text_b[row].as_py(),
                truncation=True,
                max_length=12,
            )
            assert train.input_ids[row].tolist() == alone["input_ids"]
            if train.token_type_ids is not None:
                assert train.token_type_ids[row].tolist() == alone["token_type_ids"]
        assert tokenise(data, tokenizer, 12, keep_text=False)["train"].text_a is None
        with pytest.raises(UsageError, match=r"--max-length: .*tokenizer allows, found 4096"):
            tokenise(data, tokenizer, 4096)


@pytest.mark.parametrize(
    ("task", "train", "validation", "classes"),
    [
        ("rte", 2490, 277, 2),
        ("sst2", 6920, 872, 2),
        ("cola", 8551, 1043, 2),
        ("stsb", 5749, 1500, 0),
        ("wnli", 635, 71, 2),
        ("qnli", 4576, 887, 2),
        ("snli", 9842, 9824, 3),
        ("banking77", 10003, 3080, 77),
    ],
)
def test_real_data_sets_have_the_rows_they_should(
    shared_data: Path, task: str, train: int, validation: int, classes: int
) -> None:
    data = load(DataSpec(task=task, data=str(shared_data / task)))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": train,
        "validation": validation,
    }
    assert len(data.label_names) == classes
    assert data.about["data"] == task
