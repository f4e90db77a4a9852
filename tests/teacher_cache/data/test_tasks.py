"""The table of tasks: nine of GLUE, each complete, and an unknown name gets a clear answer."""

from __future__ import annotations

import numpy as np
import pytest

from mixkd.shared.errors import UsageError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION, metrics
from mixkd.teacher_cache.data.tasks import TASKS, Task, headline, task_named


def test_the_nine_tasks_of_glue_are_there() -> None:
    assert list(TASKS) == ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_row_is_complete(task: Task) -> None:
    assert len(task.text_columns) in (1, 2)
    assert "/" in task.teacher
    classes = len(task.label_names)
    assert task.problem_type == (CLASSIFICATION if classes else REGRESSION)
    if task.teacher_labels is not None:
        assert sorted(task.teacher_labels) == list(range(classes))
    logits = np.eye(max(classes, 1), dtype=np.float32)
    known = metrics(logits, np.arange(max(classes, 1)), task.problem_type)
    assert set(task.metrics) <= set(known)


def test_mnli_has_two_validation_splits_and_stsb_is_a_regression() -> None:
    assert TASKS["mnli"].validation == ("validation_matched", "validation_mismatched")
    assert TASKS["stsb"].problem_type == REGRESSION


def test_an_unknown_task_is_answered_with_the_nine_and_data() -> None:
    with pytest.raises(UsageError, match=r"cola, sst2, .*wnli, found 'mood'; .*--data FOLDER"):
        task_named("mood")


def test_the_headline_of_a_task_of_ones_own_is_the_usual_one() -> None:
    assert headline("cola", CLASSIFICATION) == "matthews_correlation"
    assert headline("mood", CLASSIFICATION) == "accuracy"
    assert headline("mood", REGRESSION) == "pearson"
