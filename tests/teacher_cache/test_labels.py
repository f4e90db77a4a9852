"""Which of the teacher's labels corresponds to which class of the data."""

from __future__ import annotations

from typing import Any

import pytest

from mixkd.shared.errors import LabelOrderError, UsageError
from mixkd.shared.metrics import CLASSIFICATION, MULTI_LABEL, REGRESSION
from mixkd.teacher_cache.labels import class_names, teacher_columns

MNLI = ("entailment", "neutral", "contradiction")


def config(*names: str, **settings: Any) -> dict[str, Any]:
    return {"id2label": {str(label): name for label, name in enumerate(names)}, **settings}


def columns(settings: dict[str, Any], order: tuple[int, ...] | None = None) -> tuple[int, ...]:
    return teacher_columns("teacher", settings, CLASSIFICATION, MNLI, order)


@pytest.mark.parametrize(
    "names", [MNLI, ("ENTAILMENT", "Neutral", "contradiction"), ("LABEL_0", "LABEL_1", "LABEL_2")]
)
def test_the_order_of_equal_or_generic_names_is_the_datas(names: tuple[str, ...]) -> None:
    assert columns(config(*names)) == (0, 1, 2)


def test_names_in_a_different_order_name_the_option() -> None:
    permuted = config("Contradiction", "Entailment", "Neutral")
    with pytest.raises(LabelOrderError, match=r"add --teacher-labels 1,2,0, or 0,1,2 if the"):
        columns(permuted)
    assert columns(permuted, (1, 2, 0)) == (1, 2, 0)
    assert columns(permuted, (0, 1, 2)) == (0, 1, 2)


def test_labels_are_in_the_order_of_their_numbers() -> None:
    names = {str(label): f"intent {label}" for label in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)}
    wanted = [f"intent_{label}" for label in range(11)]
    found = teacher_columns("teacher", {"id2label": names}, CLASSIFICATION, wanted)
    assert found == tuple(range(11))


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 1), (1, 2, 3), (0, 1, 2, 3)])
def test_an_order_that_is_not_a_permutation_is_a_usage_error(order: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="--teacher-labels: expected each of 0 to 2 once"):
        columns(config(*MNLI), order)


def test_a_different_number_of_labels_is_refused() -> None:
    with pytest.raises(LabelOrderError, match=r"3 labels \(entailment.*found 2 \(LABEL_0, LABEL"):
        columns({})
    with pytest.raises(LabelOrderError, match=r"3 labels .*, found 7"):
        columns({"num_labels": 7})


@pytest.mark.parametrize(
    ("actual", "found"),
    [("single_label_classification", "problem_type single_label"), (None, "no problem_type")],
)
def test_multi_label_data_need_a_teacher_that_says_so(actual: str | None, found: str) -> None:
    message = f"expected a teacher for multi_label_classification, found {found}.*; use a teacher"
    with pytest.raises(LabelOrderError, match=message) as caught:
        teacher_columns("teacher", config(*MNLI, problem_type=actual), MULTI_LABEL, MNLI)
    assert "\n" not in str(caught.value)
    says_so = config(*reversed(MNLI), problem_type=MULTI_LABEL)
    with pytest.raises(LabelOrderError, match="add --teacher-labels 2,1,0"):
        teacher_columns("teacher", says_so, MULTI_LABEL, MNLI)
    assert teacher_columns("teacher", says_so, MULTI_LABEL, MNLI, (2, 1, 0)) == (2, 1, 0)


def test_a_different_kind_of_problem_is_refused() -> None:
    with pytest.raises(LabelOrderError, match="problem_type multi_label_classification"):
        columns(config(*MNLI, problem_type="multi_label_classification"))
    with pytest.raises(LabelOrderError, match="problem_type regression"):
        columns(config("score", problem_type="regression"))
    with pytest.raises(LabelOrderError, match=r"1 label \(regression\), found 3"):
        teacher_columns("teacher", config(*MNLI), REGRESSION, ())


@pytest.mark.parametrize("names", [(), ("score",)])
def test_regression_has_one_column_whatever_its_name(names: tuple[str, ...]) -> None:
    settings = config("LABEL_0", problem_type="regression")
    assert teacher_columns("teacher", settings, REGRESSION, names) == (0,)
    assert teacher_columns("teacher", settings, REGRESSION, names, (0,)) == (0,)


@pytest.mark.parametrize("names", [("yes", "maybe", "no"), ("entailment", "neutral", "other")])
def test_names_that_are_not_the_datas_are_refused_until_the_order_is_said(
    names: tuple[str, ...],
) -> None:
    with pytest.raises(
        LabelOrderError, match=r"named as in the data \(entailment, neu.*--teacher-labels 0,1,2"
    ):
        columns(config(*names))
    assert columns(config(*names), (2, 1, 0)) == (2, 1, 0)


@pytest.mark.parametrize("names", [("0", "1", "2"), ("LABEL_0", "LABEL_1", "LABEL_2")])
def test_names_that_are_numbers_say_nothing(names: tuple[str, ...]) -> None:
    assert columns(config(*names)) == (0, 1, 2)
    assert teacher_columns("t", config(*MNLI), CLASSIFICATION, names) == (0, 1, 2)


@pytest.mark.parametrize(
    ("data", "teacher", "order", "expected"),
    [
        (("0", "1", "2"), MNLI, (0, 1, 2), MNLI),
        (("0", "1", "2"), MNLI, (2, 0, 1), ("contradiction", "entailment", "neutral")),
        (("a", "b", "c"), MNLI, (0, 1, 2), ("a", "b", "c")),
        (("0", "1", "2"), ("LABEL_0", "LABEL_1", "LABEL_2"), (0, 1, 2), ("0", "1", "2")),
        (("0", "1", "2"), ("x", "x", "y"), (0, 1, 2), ("0", "1", "2")),
        ((), ("score",), (0,), ()),
    ],
)
def test_the_teachers_names_are_taken_where_the_data_have_numbers(
    data: tuple[str, ...],
    teacher: tuple[str, ...],
    order: tuple[int, ...],
    expected: tuple[str, ...],
) -> None:
    assert class_names(data, config(*teacher), order) == expected
