"""Match a teacher's labels with the data's classes: their number, kind and order.

config.json alone decides, so that the order is known before the teacher is loaded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from mixkd.shared.errors import LabelOrderError
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION
from mixkd.shared.models.checkpoint import label_names as names_in
from mixkd.shared.options import check

log = logging.getLogger(__name__)
GENERIC_NAME = re.compile(r"LABEL_\d+")


def teacher_columns(
    teacher: str,
    config: dict[str, Any],
    problem_type: str,
    label_names: Sequence[str],
    teacher_labels: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Return, for each class of the data in order, the teacher's label that corresponds to it.

    Args:
        teacher: The teacher, for messages.
        config: Its config.json.
        teacher_labels: The user's `--teacher-labels`; None takes the teacher's order as it is,
            unless its names say otherwise.

    Raises:
        LabelOrderError: If number, kind or names of labels differ, or the names are in a different
            order.
        UsageError: If `teacher_labels` is not a permutation.
    """
    regression = problem_type == REGRESSION
    classes = 1 if regression else len(label_names)
    names = names_in(config)
    _check_kind(teacher, config.get("problem_type"), problem_type)
    if len(names) != classes:
        raise LabelOrderError(
            teacher,
            expected=f"a teacher with {classes} label{'s' * (classes > 1)}"
            f" ({'regression' if regression else _listed(label_names)})",
            found=f"{len(names)} ({_listed(names)})",
            do="use a teacher that was fine-tuned on this task",
        )
    if teacher_labels is not None:
        return checked_permutation(teacher_labels, classes)
    implied = None if regression else implied_columns(names, label_names)
    if implied is not None and implied != tuple(range(classes)):
        raise LabelOrderError(
            teacher,
            expected=f"labels in the data's order ({_listed(label_names)})",
            found=_listed(names),
            do=f"add --teacher-labels {','.join(map(str, implied))}, or "
            f"{','.join(map(str, range(classes)))} if the teacher's names are wrong",
        )
    if implied is None and are_named(names) and are_named(label_names):
        raise LabelOrderError(
            teacher,
            expected=f"labels named as in the data ({_listed(label_names)})",
            found=_listed(names),
            do="say which of the teacher's labels is each class, in the data's order:"
            f" --teacher-labels {','.join(map(str, range(classes)))} if it is the same",
        )
    return tuple(range(classes))


def _check_kind(teacher: str, actual: object, problem_type: str) -> None:
    # Older checkpoints do not say: there the number of labels decides, which exclude each other.
    if actual == problem_type or (actual is None and problem_type != MULTI_LABEL):
        return
    remedies = {
        MULTI_LABEL: "; where it has a sigmoid for each label, let its config.json say so",
    }
    do = "use a teacher that was fine-tuned on this task"
    raise LabelOrderError(
        teacher,
        expected=f"a teacher for {problem_type}",
        found=f"problem_type {actual} in its config.json"
        if actual
        else "no problem_type in its config.json",
        do=do + remedies.get(problem_type, ""),
    )


def checked_permutation(labels: Sequence[int], classes: int) -> tuple[int, ...]:
    """Return `--teacher-labels` if they are each of 0 to C - 1 once.

    Raises:
        UsageError: If they are not.
    """
    check(
        "--teacher-labels",
        ",".join(map(str, labels)),
        sorted(labels) == list(range(classes)),
        expected=f"each of 0 to {classes - 1} once",
        do="give, for each class of the data in order, the number of the teacher's label",
    )
    return tuple(labels)


def are_named(names: Sequence[str]) -> bool:
    """Say whether labels have names: "LABEL_0" and "0" say no more than their numbers do."""
    return not all(name.isdecimal() or GENERIC_NAME.fullmatch(name) for name in names)


def class_names(
    label_names: Sequence[str], config: dict[str, Any], columns: Sequence[int]
) -> tuple[str, ...]:
    """Take the teacher's names for classes that the data only number, else the data's.

    Args:
        label_names: The data's, as many as the teacher's; none for regression.
        config: The teacher's config.json.
        columns: For each class of the data, the teacher's label.
    """
    names = names_in(config)
    regression = not label_names
    if regression or are_named(label_names) or not are_named(names) or len({*names}) < len(names):
        return tuple(label_names)
    taken = tuple(names[column] for column in columns)
    log.info("classes named as the teacher's labels: %s", _listed(taken))
    return taken


def implied_columns(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...] | None:
    """Return the order that the names imply; None where they are generic or not the data's."""
    if not are_named(names):
        return None
    position = {_plain(name): label for label, name in enumerate(names)}
    plain = [_plain(name) for name in wanted]
    if sorted(position) != sorted(plain):
        return None
    return tuple(position[name] for name in plain)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown}, …" if len(names) > 6 else shown
