"""Evaluate a finished model on labelled rows, beside the logits of its teacher in a cache.

found = evaluate("students/mood", "mood/test.csv", cache="shards/mood")
found.metrics["accuracy"], found.against_teacher.metrics["teacher_agreement"]
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mixkd.shared.arrays import Indices, Logits
from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DataError, LabelOrderError, UsageError
from mixkd.shared.examples import Array, Examples
from mixkd.shared.metrics import CLASSIFICATION, MULTI_LABEL, REGRESSION
from mixkd.shared.models.speed import measure
from mixkd.shared.multi_label import LabelCounts
from mixkd.shared.progress import now, progress
from mixkd.student_train.evaluate import evaluation, teacher_metrics
from mixkd.student_train.finished.classifier import Classifier
from mixkd.student_train.finished.columns import label_column as choose_label
from mixkd.student_train.finished.columns import labels_of, texts_of
from mixkd.student_train.finished.columns import text_columns as choose_texts
from mixkd.student_train.finished.known_labels import KnownLabels
from mixkd.student_train.finished.result import (
    AgainstTeacher,
    ClassScores,
    Evaluation,
    class_scores,
    confusion_matrix,
    counts_of,
)
from mixkd.student_train.finished.rows import AnyRows, Rows, open_rows

log = logging.getLogger(__name__)
TEACHERS = "teacher_"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows to evaluate on: one list of texts per column, and labels as the model numbers them."""

    where: str
    texts: Sequence[Sequence[str]]
    labels: Array


def evaluate(
    model: str | Path,
    data: AnyRows | None = None,
    *,
    cache: str | Path | None = None,
    split: str | None = None,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    batch_size: int = 64,
    max_length: int | None = None,
    device: str = "auto",
    allow_model_type: Sequence[str] = (),
) -> Evaluation:
    """Evaluate a classifier: a student, a teacher, or any other that `transformers` loads.

    Args:
        model: A folder or a Hub id.
        data: Labelled rows: a file, a folder, a Hub data set or an object of `datasets`. None takes
            a validation split of the cache.
        cache: Compare with the teacher's logits on those rows whose texts it holds.
        split: Of the data, or of the cache without data.
        text_columns, label_column: Empty and None find them.
        batch_size: Rows at once.
        max_length: Tokens that texts are cut to; None takes the model's own limit, and on a cache's
            own rows not more than the cache's.

    Raises:
        UsageError, DataError, ModelError, MixkdError: Naming the file, row or option.
    """
    opened = Cache.open(cache) if cache is not None else None
    rows = open_rows(data, split) if data is not None else None
    read: Callable[[KnownLabels], Labelled]
    if rows is not None:
        read = partial(_of_rows, rows, tuple(text_columns), label_column)
    elif opened is not None:
        read = partial(_of_cache, opened, split)
    else:
        raise UsageError(
            "--data", expected="--data or --cache", found="neither", do="name rows to evaluate on"
        )
    now("loading the model")
    classifier = Classifier.load(
        str(model),
        max_length=max_length,
        batch_size=batch_size,
        device=device,
        allow_model_type=allow_model_type,
        most=opened.identity.max_length if opened is not None and rows is None else None,
    )
    labelled = read(classifier.labels)
    teacher = _answers(opened, labelled, classifier.labels) if opened is not None else None
    now("tokenising the texts")
    examples = classifier.encode(labelled.texts)
    logits = _logits(classifier, examples)
    now("computing metrics")
    against = None
    if teacher is not None:
        problem_type = classifier.labels.problem_type
        against = _against_teacher(teacher, labelled, logits, problem_type)
    now("measuring the speed")
    return _evaluation(classifier, labelled, logits, examples, against)


def _of_rows(
    rows: Rows, text_columns: tuple[str, ...], label_column: str | None, known: KnownLabels
) -> Labelled:
    """Read all rows; their labels are checked before anything is computed."""

    def is_label(column: str, value: object) -> bool:
        return known.knows(value, rows.class_names.get(column, ()))

    label = choose_label(rows, label_column, is_label)
    columns = choose_texts(rows, text_columns, label)
    table = list(rows.values)
    values = labels_of(table, label, rows.where)
    labels = known.numbers(values, rows.where, label, rows.class_names.get(label, ()))
    return Labelled(rows.where, texts_of(table, columns, rows.where, 1), labels)


def _of_cache(cache: Cache, split: str | None, known: KnownLabels) -> Labelled:
    """Take a split of the cache, the first one for validation by default."""
    split = split or cache.splits[1]
    if split not in cache.splits:
        raise UsageError(
            "--split", expected=f"one of {', '.join(cache.splits)}", found=split, do="choose one"
        )
    columns = _texts(cache, split)
    examples = cache.examples(split)
    kept = np.flatnonzero(examples.labelled)
    where = f"{cache.root}, {split}"
    if not len(kept):
        raise DataError(where, expected="labels", found="none", do="choose another --split")
    labels, position = examples.labels[kept], _teacher_columns(cache, known)
    if labels.ndim == 2:
        labels = labels[:, position]  # [m, C], in the model's order
    elif known.names:
        labels = np.argsort(position)[labels]  # the cache's class number -> the model's
    return Labelled(where, [[column[row] for row in kept] for column in columns], labels)


def _texts(cache: Cache, split: str) -> list[list[str]]:
    """Return the texts of a split, one list per column."""
    examples = cache.examples(split)
    columns = [c.to_pylist() for c in (examples.text_a, examples.text_b) if c is not None]
    if not columns:
        raise DataError(
            cache.root / f"examples/{split}.arrow",
            expected="texts, which say whose answers are whose",
            found="none: the cache was made with --no-text",
            do="evaluate on --data without --cache",
        )
    return columns


def _teacher_columns(cache: Cache, known: KnownLabels) -> list[int]:
    """Return the column of the cached logits for each of the model's labels."""
    names, problem_type = cache.identity.label_names, cache.identity.problem_type
    if problem_type != known.problem_type:
        raise LabelOrderError(
            cache.root,
            expected=f"a cache for {known.problem_type}, which the model is for",
            found=problem_type,
            do="evaluate a student of this cache, or leave --cache out",
        )
    return [0] if problem_type == REGRESSION else known.columns_of(names, str(cache.root))


def _logits(classifier: Classifier, examples: Examples) -> Logits:
    """Compute float32 [n, C] of all examples."""
    logits = np.zeros((len(examples), classifier.logit_count), np.float32)  # [n, C]
    with progress(len(examples), "evaluating", "examples") as done:
        for rows, part in classifier.logits(examples):
            logits[rows] = part  # [B, C]
            done(len(rows))
    return logits


@dataclass(frozen=True, slots=True)
class Answers:
    """A teacher's cached answers to some of the rows.

    Attributes:
        rows: int64 [m], those whose texts the cache holds.
        logits: float32 [m, C], in the model's order of labels.
    """

    cache: str
    rows: Indices
    logits: Logits


def _answers(cache: Cache, labelled: Labelled, known: KnownLabels) -> Answers:
    """Look the rows' texts up in all splits of the cache."""
    order = _teacher_columns(cache, known)
    keys = list(zip(*labelled.texts, strict=True))
    wanted = {*keys}
    cached: dict[tuple[str, ...], Logits] = {}
    for split in cache.splits:
        texts = zip(*_texts(cache, split), strict=True)
        each = zip(texts, cache.logits(split), strict=True)
        cached |= {text: logits for text, logits in each if text in wanted}
    rows = [row for row, key in enumerate(keys) if key in cached]
    if not rows:
        log.warning("%s: none of the rows' texts are in the cache %s", labelled.where, cache.name)
    logits = np.array([cached[keys[row]] for row in rows], np.float32)  # [m, C]
    return Answers(
        cache.name, np.array(rows, np.int64), logits.reshape(len(rows), len(order))[:, order]
    )


def _against_teacher(
    teacher: Answers, labelled: Labelled, logits: Logits, problem_type: str
) -> AgainstTeacher:
    """Compare with the teacher on the rows that it has answered."""
    rows = teacher.rows
    if not len(rows):
        return AgainstTeacher(teacher.cache, 0, {}, {})
    labels = labelled.labels[rows]  # [m], or [m, C] for multi-label
    both = evaluation(logits[rows], teacher.logits, labels, problem_type)
    similar = {name: value for name, value in both.items() if name.startswith(TEACHERS)}
    own = teacher_metrics(teacher.logits, labels, problem_type)
    return AgainstTeacher(teacher.cache, len(rows), similar, own)


def _evaluation(
    classifier: Classifier,
    labelled: Labelled,
    logits: Logits,
    examples: Examples,
    against: AgainstTeacher | None,
) -> Evaluation:
    names, labels = classifier.labels.names, labelled.labels
    problem_type = classifier.labels.problem_type
    scores = teacher_metrics(logits, labels, problem_type)
    confusion = np.zeros((0, 0), np.int64)
    classes: tuple[ClassScores, ...] = ()
    if problem_type == CLASSIFICATION:
        confusion = confusion_matrix(labels, logits.argmax(axis=1), len(names))  # [C, C]
        classes = class_scores(counts_of(confusion), names)
    if problem_type == MULTI_LABEL:
        classes = class_scores(LabelCounts.of(logits > 0, labels), names)
    return Evaluation(
        model=classifier.name,
        data=labelled.where,
        examples=len(labels),
        problem_type=problem_type,
        label_names=names,
        max_length=classifier.max_length,
        device=str(classifier.device),
        metrics=scores,
        classes=classes,
        confusion=tuple(map(tuple, confusion.tolist())),
        against_teacher=against,
        speed=measure(classifier, examples, classifier.device, classifier.batch_size),
        texts=labelled.texts,
        labels=labels,
        logits=logits,
    )
