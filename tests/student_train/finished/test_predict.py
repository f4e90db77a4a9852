"""`predict`: rows in, the same rows with labels and probabilities out, a few at a time."""

from __future__ import annotations

import csv
import json
import shlex
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import mixkd
from mixkd.shared.errors import DataError, MixkdError
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.student_train.cli import train_student
from mixkd.student_train.finished import predict as module


def predicted(*words: object, given: str | None = None) -> Result:
    arguments = ["predict", *map(str, words), "--device", "cpu"]
    return CliRunner().invoke(train_student, arguments, input=given)


def test_texts_and_standard_input(good_teacher: Path) -> None:
    found = predicted(good_teacher, "--text", "a dull film", "--text", "this is bright")
    rows = list(csv.DictReader(found.stdout.splitlines()))
    assert [row["prediction"] for row in rows] == ["dull", "bright"]
    assert list(rows[0]) == ["text", "prediction", "probability", "p_dull", "p_bright"]
    piped = predicted(good_teacher, "--data", "-", given="id,text\n7,a dull film\n")
    assert piped.stdout.splitlines()[1].startswith("7,a dull film,dull,")
    lines = predicted(
        good_teacher, "--data", "-", "--json", given='{"id": 7, "text": "a dull film"}\n'
    )
    row = json.loads(lines.stdout)
    assert row["id"] == 7 and row["prediction"] == "dull" and row["p_dull"] > 0.5


def test_a_file_is_read_in_parts_and_the_parts_do_not_matter(
    good_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "many.csv").write_text(
        "text\n"
        + "".join(
            f"a {w} film {'very ' * (i % 9)}\n" for i, w in enumerate(["dull", "bright"] * 20)
        )
    )
    whole = [p.to_row() for p in mixkd.predict(good_teacher, tmp_path / "many.csv", device="cpu")]
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    out = tmp_path / "out.jsonl"
    found = predicted(good_teacher, "--data", tmp_path / "many.csv", "--out", out)
    assert found.exit_code == 0 and found.stdout == ""
    parts = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["text"] for row in parts] == [row["text"] for row in whole]
    for part, row in zip(parts, whole, strict=True):
        assert part["prediction"] == row["prediction"]
        assert part["p_dull"] == pytest.approx(row["p_dull"], abs=1e-4)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.jsonl"]


def test_an_endless_table_is_not_read_whole(good_teacher: Path) -> None:
    def texts() -> object:
        while True:
            yield "a bright film"

    found = mixkd.predict(good_teacher, texts(), device="cpu", batch_size=512)  # type: ignore[arg-type]
    assert [each.label for each in islice(found, 3)] == ["bright"] * 3


def test_long_texts_are_cut_pairs_are_read_and_numbers_predicted(
    good_teacher: Path, good_pair_teacher: Path, good_regression_teacher: Path, tmp_path: Path
) -> None:
    (long,) = mixkd.predict(good_teacher, ["dull " * 5000], device="cpu")
    assert long.label == "dull"
    (tmp_path / "pairs.csv").write_text("sentence1,sentence2\nthe film,this is odd\n")
    (pair,) = mixkd.predict(good_pair_teacher, tmp_path / "pairs.csv", device="cpu")
    assert pair.label == "odd" and sum(pair.probabilities.values()) == pytest.approx(1)
    (number,) = mixkd.predict(good_regression_teacher, tmp_path / "pairs.csv", device="cpu")
    assert isinstance(number.label, float) and number.probabilities == {}
    assert list(number.to_row()) == ["sentence1", "sentence2", "prediction"]


def test_a_strangers_labels_do_not_reach_the_terminal_raw() -> None:
    logits = np.array([[1.0, 0.0]], np.float32)
    (found,) = module.predictions_of([{"text": "a"}], logits, ("\x1b[2J", "b"), CLASSIFICATION)
    assert found.label == "\x1b[2J"
    assert list(found.to_row()) == ["text", "prediction", "probability", "p_\\x1b[2J", "p_b"]
    assert found.to_row()["prediction"] == "\\x1b[2J"


def test_a_bad_row_leaves_no_file(good_teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": null}\n')
    out = tmp_path / "new" / "out.csv"
    found = predicted(good_teacher, "--data", tmp_path / "bad.jsonl", "--out", out)
    assert "row 2, column text: expected text, found nothing" in str(found.exception)
    assert list(out.parent.iterdir()) == []
    (tmp_path / "taken.csv").write_text("text,prediction\na,b\n")
    taken = predicted(good_teacher, "--data", tmp_path / "taken.csv")
    assert isinstance(taken.exception, DataError)
    assert "column prediction: expected no such column in the data" in str(taken.exception)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("", 2, "Name either --data or --text."),
        ("--data x.csv --text a", 2, "Name either --data or --text."),
        ("--text a --out x.csv --json", 2, "--json is for standard output"),
        ("--text a --out x.parquet", 1, "--out: expected a file .csv or .jsonl"),
        ("--text a --split test --text-columns b", 1, "expected a column 'b'"),
    ],
)
def test_what_cannot_be_predicted(words: str, code: int, message: str, good_teacher: Path) -> None:
    found = predicted(good_teacher, *shlex.split(words))
    assert found.exit_code == code
    assert message in (str(found.exception) if code == 1 else found.output)
    assert code == 2 or isinstance(found.exception, MixkdError)
