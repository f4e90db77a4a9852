"""Predict labels of texts with a finished model, a few rows at a time.

for found in predict("students/mood", ["a warm film", "dull"]):
    print(found.label, found.probability)
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from mixkd.shared import files, publish
from mixkd.shared.errors import DataError, OutputError, UsageError, printable
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION, probabilities
from mixkd.shared.progress import now
from mixkd.student_train.finished.columns import text_columns as choose_texts
from mixkd.student_train.finished.columns import texts_of
from mixkd.student_train.finished.rows import AnyRows, Row, Rows, open_rows

if TYPE_CHECKING:
    from mixkd.shared.arrays import Logits
    from mixkd.student_train.finished.classifier import Classifier

ROWS_AT_ONCE = 2048  # so that batches of similar length can be cut
FORMATS = (".csv", ".jsonl")
LABEL, PROBABILITY, OF_CLASS = "prediction", "probability", "p_"
DIGITS = 6


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answers to one row.

    Attributes:
        row: As it was read, all columns.
        label: The most probable label's name; for multi-label the names of all labels of a
            probability above 0.5; for regression the number itself.
        probability: Of that label; None for multi-label and regression.
        probabilities: Label -> probability, in the order of the logits; empty for regression.
    """

    row: Row
    label: str | tuple[str, ...] | float
    probability: float | None
    probabilities: dict[str, float]

    def to_row(self) -> Row:
        """Return the row with `prediction`, `probability` and `p_LABEL` of each label.

        Several labels are a list, and have no `probability` of their own.

        Labels, which a stranger may have named, have no control characters.

        Raises:
            DataError: If the row has such a column already.
        """
        added: Row = {LABEL: _printable(self.label)}
        if self.probability is not None:
            added[PROBABILITY] = round(self.probability, DIGITS)
        each = self.probabilities.items()
        added |= {f"{OF_CLASS}{printable(name)}": round(value, DIGITS) for name, value in each}
        taken = sorted(added.keys() & self.row.keys())
        if taken:
            raise DataError(
                f"column {taken[0]}",
                expected="no such column in the data: predictions are written there",
                found="one",
                do="rename it",
            )
        return {**self.row, **added}


def predict(
    model: str | Path,
    data: AnyRows,
    *,
    split: str | None = None,
    text_columns: Sequence[str] = (),
    batch_size: int = 64,
    max_length: int | None = None,
    device: str = "auto",
    allow_model_type: Sequence[str] = (),
) -> Iterator[Prediction]:
    """Predict the rows of a table in order, a few thousand at a time, as they are asked for.

    Args:
        model: A folder or a Hub id.
        data: Texts, a file, a folder, a Hub data set or an object of `datasets`; `-` is standard
            input. Labels are not needed.
        split: Of data that has several.
        text_columns: One, or two for pairs of texts; empty finds them.
        max_length: Tokens that texts are cut to; None takes the model's own limit.

    Raises:
        UsageError, DataError, ModelError, MixkdError: Naming the file, row or option; about later
            rows when they are reached.
    """
    from mixkd.student_train.finished.classifier import Classifier

    rows = open_rows(data, split)
    columns = choose_texts(rows, tuple(text_columns), None)
    classifier = Classifier.load(
        str(model),
        max_length=max_length,
        batch_size=batch_size,
        device=device,
        allow_model_type=allow_model_type,
    )
    return _predictions(classifier, rows, columns)


def _predictions(
    classifier: Classifier, rows: Rows, columns: tuple[str, ...]
) -> Iterator[Prediction]:
    first = 1
    while part := list(islice(rows.values, ROWS_AT_ONCE)):
        now(f"predicting from row {first:,} on")
        examples = classifier.encode(texts_of(part, columns, rows.where, first))
        logits = np.zeros((len(part), classifier.logit_count), np.float32)  # [n, C]
        for numbers, found in classifier.logits(examples):
            logits[numbers] = found  # [B, C]
        known = classifier.labels
        yield from predictions_of(part, logits, known.names, known.problem_type)
        first += len(part)


def predictions_of(
    rows: Iterable[Row], logits: Logits, names: Sequence[str], problem_type: str
) -> Iterator[Prediction]:
    """Turn logits [n, C] into predictions.

    Args:
        names: Of the classes or labels; empty for regression.
    """
    if problem_type == REGRESSION:
        for row, score in zip(rows, logits[:, 0].tolist(), strict=True):
            yield Prediction(row, score, None, {})
        return
    for row, each in zip(rows, probabilities(logits, problem_type), strict=True):
        by_name = dict(zip(names, each.tolist(), strict=True))
        if problem_type == MULTI_LABEL:
            yield Prediction(row, tuple(n for n, p in by_name.items() if p > 0.5), None, by_name)
        else:
            best = int(each.argmax())
            yield Prediction(row, names[best], float(each[best]), by_name)


def _printable(label: str | tuple[str, ...] | float) -> object:
    if isinstance(label, tuple):
        return [printable(name) for name in label]
    return printable(label) if isinstance(label, str) else label


def write(stream: TextIO, predictions: Iterable[Prediction], extension: str) -> int:
    """Write predictions as csv, with lists as JSON, or as JSON lines; returns how many."""
    count = 0
    put: Callable[[Row], object] | None = None
    for prediction in predictions:
        row = prediction.to_row()
        if extension == ".jsonl":
            stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        else:
            if put is None:
                writer = csv.DictWriter(
                    stream, list(row), extrasaction="ignore", lineterminator="\n"
                )
                writer.writeheader()
                put = writer.writerow
            put({name: _cell(value) for name, value in row.items()})
        count += 1
    return count


def _cell(value: object) -> object:
    """Return what csv can have of a value: of a list its JSON, which is how lists are read."""
    is_list = isinstance(value, list)
    return json.dumps(value, ensure_ascii=False, default=str) if is_list else value


def check_file(file: Path, option: str) -> None:
    """Refuse a file of predictions before any work.

    Raises:
        UsageError: If its extension is not .csv or .jsonl.
        OutputError: If it exists, or cannot be written.
    """
    if file.suffix not in FORMATS:
        raise UsageError(
            option, expected=f"a file {' or '.join(FORMATS)}", found=file, do="rename it"
        )
    if files.exists(file):
        raise OutputError(
            file, expected="a new file", found="one", do=f"choose another {option}, or remove it"
        )
    publish.check_writable(file.parent)


@contextmanager
def new_file(file: Path) -> Iterator[TextIO]:
    """Open a file that appears once the block has ended well.

    Raises:
        DiskError, OutputError: If it cannot be written.
    """
    publish.folder(file.parent)
    aside = file.with_name(publish.temporary_name(file.name))
    try:
        with aside.open("x", encoding="utf-8", newline="") as stream:
            yield stream
        publish.move(aside, file)
    except OSError as error:
        raise publish.unwritable(file, error) from error
    finally:
        aside.unlink(missing_ok=True)
