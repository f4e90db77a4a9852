"""The data of a task: labelled splits of texts, from GLUE on the Hub or from the user's own place.

    data = load(DataSpec(task="rte"))                                   # nyu-mll/glue, rte
    data = load(DataSpec(task="rte", data="my/folder"))                 # train.tsv, validation.tsv
    data = load(DataSpec(task="mood", data="owner/name:configuration")) # any data set of the Hub

A local path that exists wins over a name on the Hub. Labels are classes in the order of
`label_names`, or numbers (see `targets`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.errors import DataError, UsageError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.teacher_cache.data.columns import TEXT_OPTION, choose_texts, texts
from mixkd.teacher_cache.data.hub import read_hub
from mixkd.teacher_cache.data.sources import EXTENSIONS, Source, Table, read_path
from mixkd.teacher_cache.data.splits import hold_out, subset
from mixkd.teacher_cache.data.targets import Classes, find_classes, is_regression, scores
from mixkd.teacher_cache.data.tasks import TASKS, Task, headline, task_named

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataSpec:
    """What to load; the options of the same names.

    Attributes:
        task: One of GLUE's, or any name where `data` is given.
        data: Folder, file, or Hub data set (NAME or NAME:CONFIGURATION); None is GLUE on the Hub.
        text_columns: One or two; empty takes the task's, or well-known names.
        label_column: None takes the task's, or `label`.
        label_names: Empty takes the source's own, or the task's, or those that occur.
        subset: The part of the training rows to use, in (0, 1].

    Raises:
        UsageError: When it is made, naming the option.
    """

    task: str
    data: str | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    label_names: tuple[str, ...] = ()
    subset: float = 1.0

    def __post_init__(self) -> None:
        if self.data is None:
            task_named(self.task)
        if len(self.text_columns) > 2 or len(set(self.text_columns)) < len(self.text_columns):
            raise UsageError(
                TEXT_OPTION,
                expected="one or two different columns",
                found=",".join(self.text_columns),
                do="a model reads one text or a pair of texts",
            )
        if not 0 < self.subset <= 1:
            raise UsageError(
                "--subset",
                expected="a part above 0 and up to 1",
                found=self.subset,
                do="give 0.1 for a tenth of the training rows",
            )


@dataclass(frozen=True, slots=True)
class TextSplit:
    """One labelled split as text, row number = example id.

    Attributes:
        text_a, text_b: Texts of each row; `text_b` is None where there is one text column.
        labels: int64 [n] class numbers, or float32 [n] for regression.
    """

    text_a: list[str]
    text_b: list[str] | None
    labels: npt.NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> TextSplit:
        text_b = None if self.text_b is None else [self.text_b[row] for row in rows]
        return TextSplit([self.text_a[row] for row in rows], text_b, self.labels[rows])

    def sha256(self) -> str:
        """Over the ordered (texts, label)."""
        from mixkd.shared.examples import texts_sha256

        columns = (self.text_a,) if self.text_b is None else (self.text_a, self.text_b)
        return texts_sha256(zip(*columns, strict=True), self.labels)


@dataclass(frozen=True, slots=True)
class Data:
    """Labelled splits, `train` first, then at least one for validation.

    Attributes:
        label_names: In the order of the class numbers; empty for regression.
        problem_type: One of `mixkd.shared.metrics.PROBLEM_TYPES`.
        about: task, metric (the headline), data (its name), and where they apply data_config,
            data_revision, data_license, subset and held_out; never a local path.
    """

    splits: dict[str, TextSplit]
    label_names: tuple[str, ...]
    problem_type: str
    about: dict[str, Any]

    def texts_sha256(self) -> dict[str, str]:
        return {name: split.sha256() for name, split in self.splits.items()}


def load(spec: DataSpec) -> Data:
    """Read, choose, check and divide.

    Raises:
        DataError: On rows, columns, labels or splits that cannot be used, naming the first.
    """
    task = TASKS.get(spec.task)
    source = _read(spec, task)
    train = source.tables["train"]
    for table in source.tables.values():
        _check_filled(table)
    if len(train) < 2:
        raise _too_few(train.where, len(train))
    columns = _text_columns(spec, task, train)
    column = _label_column(spec, task)
    classes = _classes(spec, task, source, column)
    splits = {
        name: _split(table, columns, column, classes, from_hub=source.from_hub)
        for name, table in source.tables.items()
    }
    problem_type = REGRESSION if classes is None else CLASSIFICATION
    about = {"task": spec.task, "metric": headline(spec.task, problem_type), **source.about}
    names = () if classes is None else classes.names
    return _divide(Data(splits, names, problem_type, about), train.where, spec.subset)


def _read(spec: DataSpec, task: Task | None) -> Source:
    validations = task.validation if task else ("validation",)
    if spec.data is None:
        row = task_named(spec.task)
        return read_hub(row.hub, row.name, validations, _label_column(spec, row))
    path = Path(spec.data)
    if path.exists():
        return read_path(path, validations)
    if spec.data.startswith((".", "/", "~")) or path.suffix.lower() in EXTENSIONS:
        raise DataError(
            spec.data, expected="a file or folder", found="none", do="check --data for a typo"
        )
    name, _, configuration = spec.data.partition(":")
    return read_hub(name, configuration or None, validations, _label_column(spec, task))


def _check_filled(table: Table) -> None:
    if len(table) == 0:
        raise DataError(
            table.where, expected="at least one row", found="none", do="fill or remove the split"
        )


def _label_column(spec: DataSpec, task: Task | None) -> str:
    return spec.label_column or (task.label_column if task else "label")


def _text_columns(spec: DataSpec, task: Task | None, train: Table) -> tuple[str, ...]:
    """Those asked for, else the task's where the data have them, else well-known ones."""
    if not spec.text_columns and task and set(task.text_columns) <= set(train.columns):
        return task.text_columns
    return choose_texts(train, spec.text_columns)


def _classes(spec: DataSpec, task: Task | None, source: Source, column: str) -> Classes | None:
    """The classes, or None for regression."""
    tables = list(source.tables.values())
    given = spec.label_names or source.label_names
    if not given and task:
        if task.problem_type == REGRESSION:
            return None
        given = task.label_names
    if not given and is_regression(tables, column):
        return None
    return find_classes(tables, column, given)


def _split(
    table: Table, columns: tuple[str, ...], label: str, classes: Classes | None, *, from_hub: bool
) -> TextSplit:
    labels = scores(table, label) if classes is None else classes.numbers(table, label)
    # Some official pairs lack a side (QQP has questions without text): dropping them would change
    # the benchmark, and a model can read a pair with an empty side.
    may_be_empty = from_hub and len(columns) == 2
    found = [texts(table, column, may_be_empty=may_be_empty) for column in columns]
    return TextSplit(found[0], found[1] if len(found) == 2 else None, labels)


def _divide(data: Data, where: str, fraction: float) -> Data:
    """Hold out validation rows where there are none, and take the subset of the training rows."""
    train, about = data.splits["train"], dict(data.about)
    rest = {name: split for name, split in data.splits.items() if name != "train"}
    if not rest:
        kept, held = hold_out(train.labels)
        if not len(held):
            raise _too_few(where, f"{len(train)}, too few to hold out some for validation")
        log.info(
            "%s: no validation rows, so a stratified tenth of train is held out: %d of %d rows",
            about["data"],
            len(held),
            len(train),
        )
        about["held_out"] = len(held)
        rest = {"validation": train.take(held)}
        train = train.take(kept)
    if fraction < 1:
        whole = len(train)
        train = train.take(subset(train.labels, fraction))
        about["subset"] = fraction
        log.info("subset %g: %d of %d training rows", fraction, len(train), whole)
    if len(train) < 2:
        raise _too_few(where, len(train))
    return replace(data, splits={"train": train, **rest}, about=about)


def _too_few(where: str, found: object) -> DataError:
    return DataError(
        where,
        expected="at least two training rows, since a pair mixes two",
        found=found,
        do="add rows, or raise --subset",
    )
