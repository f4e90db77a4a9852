"""Load a task's data: labelled splits of texts, from GLUE on the Hub or from the user's own place.

    data = load(DataSpec(task="rte"))                                   # nyu-mll/glue, rte
    data = load(DataSpec(task="rte", data="my/folder"))                 # train.tsv, validation.tsv
    data = load(DataSpec(task="mood", data="owner/name:configuration")) # any data set of the Hub
    data = load(DataSpec(task="mood", data=dataset_dict))               # an object of `datasets`

A local path that exists wins over a name on the Hub. Labels are classes in the order of
`label_names`, or numbers (see `targets`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from mixkd.shared import files
from mixkd.shared.errors import DataError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.shared.options import check
from mixkd.teacher_cache.data.columns import TEXT_OPTION, choose_texts, texts
from mixkd.teacher_cache.data.files import READERS
from mixkd.teacher_cache.data.folders import read_path
from mixkd.teacher_cache.data.hub import read_hub
from mixkd.teacher_cache.data.objects import check_object, read_object
from mixkd.teacher_cache.data.sources import About, Source, Table
from mixkd.teacher_cache.data.splits import TextSplit, hold_out, subset
from mixkd.teacher_cache.data.targets import Classes, find_classes, is_regression, scores
from mixkd.teacher_cache.data.tasks import TASKS, Task, headline, task_named

if TYPE_CHECKING:
    from mixkd.teacher_cache.data.objects import AnyData

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataSpec:
    """What to load; the options of the same names.

    Attributes:
        task: One of GLUE's, or any name where `data` is given.
        data: Folder, file, Hub data set (NAME or NAME:CONFIGURATION), or a `Dataset` or
            `DatasetDict` of `datasets`; None is GLUE on the Hub.
        text_columns: One or two; empty takes the task's, or well-known names.
        label_column: None takes the task's, or `label`.
        label_names: Empty takes the source's own, or the task's, or those that occur.
        subset: The part of the training rows to use, in (0, 1].

    Raises:
        UsageError: On construction, naming the option.
    """

    task: str
    data: AnyData | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    label_names: tuple[str, ...] = ()
    subset: float = 1.0

    def __post_init__(self) -> None:
        if self.data is None:
            task_named(self.task)
        elif not isinstance(self.data, str | Path):
            check_object(self.data)
        columns = self.text_columns
        different = len(columns) <= 2 and len({*columns}) == len(columns)
        pairs = "a model reads one text or a pair of texts"
        check(TEXT_OPTION, ",".join(columns), different, "one or two different columns", pairs)
        part = 0 < self.subset <= 1
        tenth = "give 0.1 for a tenth of the training rows"
        check("--subset", self.subset, part, "a part above 0 and up to 1", tenth)

    @classmethod
    def of(cls, options: object) -> DataSpec:
        """Take the fields of the same names from a command's options; None is the default."""
        values = {field.name: getattr(options, field.name) for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Data:
    """Labelled splits, `train` first, then at least one for validation.

    Attributes:
        label_names: In the order of the class numbers; empty for regression.
        problem_type: One of `mixkd.shared.metrics.PROBLEM_TYPES`.
        metric: The headline metric, by its name in `mixkd.shared.metrics`.
        about: For people: task, data (its name), and where they apply data_config, data_revision,
            data_version, data_license, subset and held_out; never a local path.
    """

    splits: dict[str, TextSplit]
    label_names: tuple[str, ...]
    problem_type: str
    metric: str
    about: About

    def texts_sha256(self) -> dict[str, str]:
        """Digest each split's ordered (texts, label)."""
        return {name: split.sha256() for name, split in self.splits.items()}


def load(spec: DataSpec) -> Data:
    """Read, choose, check and divide.

    Raises:
        DataError: On rows, columns, labels or splits that cannot be used, naming the first.
    """
    task = TASKS.get(spec.task)
    label_column = spec.label_column or (task.label_column if task else "label")
    source = _read(spec, task, label_column)
    tables = list(source.tables.values())
    train = tables[0]
    _check_rows(tables)
    text_columns = choose_texts(train, spec.text_columns, task.text_columns if task else ())
    classes = _classes(spec.label_names or source.label_names, task, tables, label_column)
    splits = {
        name: _split(table, text_columns, label_column, classes, published=source.published)
        for name, table in source.tables.items()
    }
    problem_type = REGRESSION if classes is None else CLASSIFICATION
    about: About = {"task": spec.task, **source.about}
    if len(splits) == 1:
        splits = _hold_out(splits["train"], train.where)
        about["held_out"] = len(splits["validation"])
    if spec.subset < 1:
        splits["train"] = _subset(splits["train"], spec.subset)
        about["subset"] = spec.subset
    if len(splits["train"]) < 2:
        raise _too_few(train.where, len(splits["train"]))
    return Data(
        splits,
        label_names=() if classes is None else classes.names,
        problem_type=problem_type,
        metric=headline(spec.task, problem_type),
        about=about,
    )


def _read(spec: DataSpec, task: Task | None, label_column: str) -> Source:
    validations = task.validation if task else ("validation",)
    if spec.data is None:
        glue = task_named(spec.task)
        return read_hub(glue.hub, glue.name, validations, label_column)
    if not isinstance(spec.data, str | Path):
        return read_object(spec.data, spec.task, validations, label_column)
    path = Path(spec.data)
    if files.exists(path):
        return read_path(path, validations)
    # A name on the Hub is a string that does not look like a path.
    local = isinstance(spec.data, Path) or spec.data.startswith((".", "/", "~"))
    if local or path.suffix.lower() in READERS:
        raise DataError(
            spec.data, expected="a file or folder", found="none", do="check --data for a typo"
        )
    name, _, configuration = str(spec.data).partition(":")
    return read_hub(name, configuration or None, validations, label_column)


def _check_rows(tables: list[Table]) -> None:
    for table in tables:
        if len(table) == 0:
            raise DataError(
                table.where, expected="at least one row", found="none", do="add rows or remove it"
            )
    if len(tables[0]) < 2:
        raise _too_few(tables[0].where, len(tables[0]))


def _classes(
    given: tuple[str, ...], task: Task | None, tables: list[Table], label_column: str
) -> Classes | None:
    """Find the classes; None is a regression."""
    if not given and task:
        if task.problem_type == REGRESSION:
            return None
        given = task.label_names
    if not given and is_regression(tables, label_column):
        return None
    return find_classes(tables, label_column, given)


def _split(
    table: Table, columns: tuple[str, ...], label: str, classes: Classes | None, *, published: bool
) -> TextSplit:
    labels = scores(table, label) if classes is None else classes.numbers(table, label)
    may_be_empty = published and len(columns) == 2
    text_a, *rest = (texts(table, column, may_be_empty=may_be_empty) for column in columns)
    return TextSplit(text_a, rest[0] if rest else None, labels)


def _hold_out(train: TextSplit, where: str) -> dict[str, TextSplit]:
    """Divide the training rows where there are none for validation."""
    kept, held = hold_out(train.labels)
    if not len(held):
        raise _too_few(where, f"{len(train)}, too few to hold out some for validation")
    log.info(
        "%s: no validation rows, so a stratified tenth of train is held out: %d of %d rows",
        *(where, len(held), len(train)),
    )
    return {"train": train.take(kept), "validation": train.take(held)}


def _subset(train: TextSplit, fraction: float) -> TextSplit:
    part = train.take(subset(train.labels, fraction))
    log.info("subset %g: %d of %d training rows", fraction, len(part), len(train))
    return part


def _too_few(where: str, found: object) -> DataError:
    return DataError(
        where,
        expected="at least two training rows, since a pair mixes two",
        found=found,
        do="add rows, or raise --subset",
    )
