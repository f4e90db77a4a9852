"""Labels in a table against those of a model: names, numbers, and the names of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mixkd.shared.errors import DataError, LabelOrderError
from mixkd.student_train.finished.known_labels import KnownLabels

FILM = KnownLabels(("bad", "good"))
STARS = KnownLabels(("1", "2", "3"))


@pytest.mark.parametrize(
    ("known", "values", "class_names", "expected"),
    [
        (FILM, ["good", "bad"], (), [1, 0]),
        (FILM, ["1", "0"], (), [1, 0]),
        (FILM, [1, 0, True], (), [1, 0, 1]),
        (FILM, [1.0, 0.0], (), [1, 0]),
        (FILM, [0, 1], ("good", "bad"), [1, 0]),
        (STARS, ["1", "3"], (), [0, 2]),
        (STARS, ["0", "2"], (), [0, 2]),
        (STARS, [0, 2], ("low", "middle", "high"), [0, 2]),
        (KnownLabels(("LABEL_0", "LABEL_1")), [1, 0], ("bad", "good"), [1, 0]),
        (KnownLabels(()), ["1.5", 2], (), [1.5, 2]),
    ],
)
def test_labels_become_the_models_numbers(
    known: KnownLabels, values: list[Any], class_names: tuple[str, ...], expected: list[float]
) -> None:
    found = known.numbers(values, "t.csv", "label", class_names)
    assert found.tolist() == expected
    assert found.dtype == (np.int64 if known.names else np.float32)


@pytest.mark.parametrize(
    ("known", "values", "class_names", "message"),
    [
        (FILM, ["good", "bad", "so so"], (), r"row 3, .* \(bad, good\), found 'so so'"),
        (FILM, [0, 2], (), "row 2, column label: expected a label that the model knows"),
        (FILM, [0, -1], (), "row 2"),
        (FILM, [0, None], (), "row 2, .* found None"),
        (FILM, [0, 0.5], (), "row 2"),
        (FILM, [[0]], (), "row 1"),
        (FILM, [0, 1], ("cold", "warm"), r"row 1, .* found 0 \(cold\)"),
        (STARS, ["3", "2", "0"], (), "row 3, .* found '0'"),
        (KnownLabels(()), ["1", "nan"], (), r"row 2, .*\(a finite number\)"),
    ],
)
def test_labels_that_a_model_does_not_know(
    known: KnownLabels, values: list[Any], class_names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        known.numbers(values, "t.csv", "label", class_names)


def test_the_columns_of_a_teacher() -> None:
    assert FILM.columns_of(("good", "bad"), "c") == [1, 0]
    assert STARS.columns_of(("a", "b", "c"), "c") == [0, 1, 2]
    with pytest.raises(
        LabelOrderError, match=r"expected the model's labels \(bad, good\), found a"
    ):
        FILM.columns_of(("a", "b"), "c")
