"""Columns whose names say nothing: one reading is taken and said, several are named at once."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixkd.shared.errors import DataError
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION
from mixkd.teacher_cache.data.load import Data, DataSpec, load

TEXTS = [f"the film number {row} was odd" for row in range(20)]
INTENTS = ["book", "cancel", "pay", "ask"] * 5


def table(folder: Path, **columns: list[Any]) -> Path:
    """Columns as a csv file, each value as its text."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "rows.csv"


def own(data: Any, **more: Any) -> Data:
    return load(DataSpec(task="mood", data=data, **more))


def said(caplog: pytest.LogCaptureFixture) -> str:
    return next(line for line in caplog.messages if "label column" in line)


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"utterance": TEXTS, "intent": INTENTS}, "utterance", "intent"),
        ({"intent": INTENTS, "utterance": TEXTS}, "utterance", "intent"),
        ({"id": range(20), "review": TEXTS, "sentiment": [0, 1] * 10}, "review", "sentiment"),
        ({"row": range(20), "review": TEXTS, "kind": INTENTS}, "review", "kind"),
        ({"key": [f"k{row}" for row in range(20)], "q": TEXTS, "kind": INTENTS}, "q", "kind"),
        ({"first": [f"Ann{row}" for row in range(20)], "sex": ["f", "m"] * 10}, "first", "sex"),
        ({"text": TEXTS, "class": INTENTS}, "text", "class"),
        ({"words": TEXTS, "label": INTENTS}, "words", "label"),
        ({"title": TEXTS, "body": TEXTS, "text": TEXTS, "stars": INTENTS}, "text", "stars"),
        ({"phrase": TEXTS, "rating": [row / 7 for row in range(20)]}, "phrase", "rating"),
    ],
)
def test_one_reading_is_taken_and_said(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    columns: dict[str, list[Any]],
    text: str,
    label: str,
) -> None:
    path = table(tmp_path, **columns)
    with caplog.at_level(logging.INFO, "mixkd"):
        data = own(path)
    assert said(caplog) == f"{path}: text column: {text}; label column: {label}"
    found = own(path, text_columns=(text,), label_column=label)
    assert found.texts_sha256() == data.texts_sha256()
    assert (data.problem_type == REGRESSION) == (label == "rating")


def test_two_texts_are_said_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = table(tmp_path, premise=TEXTS, hypothesis=TEXTS, verdict=INTENTS)
    with caplog.at_level(logging.INFO, "mixkd"):
        own(path)
    assert said(caplog).endswith("text columns: premise, hypothesis; label column: verdict")


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"title": TEXTS, "body": TEXTS, "topic": INTENTS, "source": INTENTS},
            {},
            r"a column of texts and a column of labels, .*found texts in title or body, labels in "
            r"topic or source, .*as in --text-columns title --label-column topic$",
        ),
        (
            {"title": TEXTS, "body": TEXTS, "topic": INTENTS},
            {"label_column": "topic"},
            r"expected a column of texts, .*title or body, of .* --text-columns title$",
        ),
        (
            {"text": TEXTS, "topic": INTENTS, "source": INTENTS},
            {},
            r"expected a column of labels, .*topic or source, .* --label-column topic$",
        ),
        (
            {"text": TEXTS, "id": range(20)},
            {},
            r"labels in none, of the columns text, id; label rows, .*--label-column NAME$",
        ),
        ({"intent": INTENTS, "topic": INTENTS}, {}, r"texts in none, labels in intent or topic"),
    ],
)
def test_several_readings_are_one_error_that_names_them_and_both_options(
    tmp_path: Path, columns: dict[str, list[Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        own(table(tmp_path, **columns), **options)


def test_types_say_what_a_column_is(tmp_path: Path) -> None:
    columns = {
        "when": pa.array([2**62] * 20, pa.timestamp("us")),
        "image": [[0] * 4] * 20,
        "said": TEXTS,
        "right": [True, False] * 10,
        "row": range(20),
    }
    pq.write_table(
        pa.table({name: pa.array(v) for name, v in columns.items()}), tmp_path / "r.parquet"
    )
    with pytest.raises(DataError, match="labels in image or right"):
        own(tmp_path / "r.parquet")
    columns.pop("image")
    pq.write_table(
        pa.table({name: pa.array(v) for name, v in columns.items()}), tmp_path / "r.parquet"
    )
    assert own(tmp_path / "r.parquet").label_names == ("0", "1")


def test_a_column_of_lists_is_one_of_labels(tmp_path: Path) -> None:
    rows = [{"text": text, "tags": ["a", "b"][: row % 3]} for row, text in enumerate(TEXTS)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    found = own(path)
    assert (found.problem_type, found.label_names) == (MULTI_LABEL, ("a", "b"))
