"""Load a task's data: texts and labels, from GLUE on the Hub or from the user's own place.

    data = load(DataSpec(task="rte"))                                   # nyu-mll/glue, rte
    data = load(DataSpec(task="rte", data="my/folder"))                 # train.tsv, validation.tsv
    data = load(DataSpec(task="mood", data="owner/name:configuration@revision"))  # of the Hub
    data = load(DataSpec(task="mood", data=dataset_dict))               # an object of `datasets`

Labels are classes in the order of `label_names`, or numbers (see `targets`), or lists of classes
(see `label_sets`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Indices
from mixkd.shared.data.columns import check_number_of_texts, choose_columns
from mixkd.shared.data.hub import HubName, read_hub
from mixkd.shared.data.named_splits import VALIDATION_OPTION, Wanted
from mixkd.shared.data.objects import check_object
from mixkd.shared.data.read import read_source
from mixkd.shared.data.sources import About, Source, Table
from mixkd.shared.data.texts import texts
from mixkd.shared.errors import DataError
from mixkd.shared.metrics import REGRESSION
from mixkd.shared.options import check
from mixkd.teacher_cache.data.added import add_to_train, check_added
from mixkd.teacher_cache.data.augmented import Originals, read_ids
from mixkd.teacher_cache.data.flags import with_label_lists
from mixkd.teacher_cache.data.kept import check_names, kept
from mixkd.teacher_cache.data.label_sets import LabelSets, find_label_sets, is_multi_label
from mixkd.teacher_cache.data.logits import GivenLogits, Kind, LogitsSpec, decided, take_logits
from mixkd.teacher_cache.data.splits import TextSplit, hold_out, subset
from mixkd.teacher_cache.data.targets import Classes, Scores, find_classes, is_regression
from mixkd.teacher_cache.data.tasks import TASKS, Task, headline, task_named
from mixkd.teacher_cache.data.unlabelled import labelled_tables, no_labels, with_labels

if TYPE_CHECKING:
    from mixkd.shared.data.objects import AnyData

log = logging.getLogger(__name__)
Targets = Scores | Classes | LabelSets


@dataclass(frozen=True, slots=True)
class DataSpec:
    """What to load; the options of the same names.

    Attributes:
        task: One of GLUE's, or any name where `data` is given.
        data: Folder, file, Hub data set (NAME, NAME:CONFIGURATION, either with @REVISION), or a
            `Dataset` or `DatasetDict` of `datasets`; None is GLUE on the Hub.
        text_columns: One or two; empty takes the task's, or well-known names, or the one column
            that reads as text.
        label_column: None takes the task's, or `label`, or the one that reads as labels. Several,
            separated by commas, are columns of 0 and 1, one per label.
        label_names: Empty takes the source's own, or the task's, or those that occur.
        subset: The part of the training rows to use, in (0, 1].
        unlabelled: What adds texts without labels to train, each like `data`; "rest" is what
            `subset` leaves out.
        augmented: Files of texts that come from training rows.
        id_column: Of train: what `augmented` names its sources by; None counts rows from 0.
        train_split: The split to train on; None is `train`.
        validation_split: Those to validate on; empty takes the task's, or `validation`, `dev`,
            `valid` or `val`, or holds out a tenth of train.
        keep_columns: Further columns to take along.

    Raises:
        UsageError: On construction, naming the option.
    """

    task: str
    data: AnyData | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    label_names: tuple[str, ...] = ()
    subset: float = 1.0
    unlabelled: tuple[AnyData, ...] = ()
    augmented: tuple[str | Path, ...] = ()
    id_column: str | None = None
    train_split: str | None = None
    validation_split: tuple[str, ...] = ()
    keep_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.data is None:
            task_named(self.task)
        elif not isinstance(self.data, str | Path):
            check_object(self.data)
        check_number_of_texts(self.text_columns)
        part = 0 < self.subset <= 1
        tenth = "give 0.1 for a tenth of the training rows"
        check("--subset", self.subset, part, "a part above 0 and up to 1", tenth)
        names = (self.train_split or "train", *self.validation_split)
        once = len({*names}) == len(names) and all(names)
        apart = "what a student is chosen by must not be trained on"
        check(VALIDATION_OPTION, ",".join(names[1:]), once, f"splits beside {names[0]}", apart)
        if self.keep_columns:
            check_names(self.keep_columns)
        check_added(self)

    @classmethod
    def of(cls, options: object) -> DataSpec:
        """Take the fields of the same names from a command's options; None is the default."""
        values = {field.name: getattr(options, field.name, None) for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Data:
    """Splits, `train` first, then at least one for validation; rows of train may have no label.

    Attributes:
        label_names: In the order of the class numbers; empty for regression.
        problem_type: One of `mixkd.shared.metrics.PROBLEM_TYPES`.
        metric: The headline metric, by its name in `mixkd.shared.metrics`.
        about: For people: task, data (its name), and where they apply data_config, data_revision,
            data_version, data_license, subset, held_out, and the numbers of rows that are
            unlabelled and augmented; never a local path.
        logits_kind: What `TextSplit.logits` are, where there are any.
    """

    splits: dict[str, TextSplit]
    label_names: tuple[str, ...]
    problem_type: str
    metric: str
    about: About
    logits_kind: Kind = "logits"

    @property
    def given(self) -> GivenLogits:
        """The logits that were given beside the texts; empty where there are none."""
        rows = {name: split.logits for name, split in self.splits.items()}
        return GivenLogits(self.logits_kind, {k: v for k, v in rows.items() if v is not None})

    def texts_sha256(self) -> dict[str, str]:
        """Digest each split's ordered (texts, label)."""
        return {name: split.sha256() for name, split in self.splits.items()}


def load(spec: DataSpec, logits: LogitsSpec | None = None) -> Data:
    """Read, choose, check and divide.

    Args:
        logits: The columns of logits that are given beside the texts.

    Raises:
        DataError: On rows, columns, labels or splits that cannot be used, naming the first.
    """
    task = TASKS.get(spec.task)
    source, given = take_logits(with_label_lists(_read(spec, task), spec.label_column), logits)
    tables = list(source.tables.values())
    train = tables[0]
    _check_rows(tables)
    usual = (task.text_columns, task.label_column) if task else ()
    text_columns, label_column = choose_columns(
        with_labels(tables, spec.label_column, task), spec.text_columns, spec.label_column, *usual
    )
    further = kept(source.tables, spec.keep_columns) if spec.keep_columns else {}
    labelled = labelled_tables(tables, label_column)
    names = spec.label_names or source.label_names or _class_names(labelled, label_column)
    targets = _targets(names, task, labelled, label_column)
    splits = {
        name: replace(
            _split(table, text_columns, label_column, targets, published=source.published),
            kept=further.get(name),
        )
        for name, table in source.tables.items()
    }
    if logits:
        given.check_width(logits, targets.names)
        given = decided(given, source.tables, logits, targets.problem_type)
        splits = {name: replace(rows, logits=given.values[name]) for name, rows in splits.items()}
    where = train.where
    ids = read_ids(train, spec.id_column) if spec.id_column else None
    del tables, train, further, labelled
    source.tables.clear()  # all that is used of a large file is in the splits now
    about: About = {"task": spec.task, **source.about}
    whole = splits["train"]
    used, rest = np.arange(len(whole)), np.arange(0)  # rows of the table
    if len(splits) == 1:
        used, held = _hold_out(whole, where)
        splits["validation"] = whole.take(held)
        about["held_out"] = len(held)
    if spec.subset < 1:
        chosen = _subset(whole.labels[used], spec.subset)
        used, rest = used[chosen], np.delete(used, chosen)
        about["subset"] = spec.subset
    splits["train"] = whole.take(used)
    originals = Originals(
        *(ids, whole.labels, used, text_columns, label_column),
        read_labels=lambda table: _labels(table, label_column, targets),
    )
    about |= add_to_train(
        *(spec, splits, originals, whole.take(rest)),
        read=lambda place: _read(DataSpec(spec.task, place), None),
    )
    if len(splits["train"]) < 2:
        raise _too_few(where, len(splits["train"]))
    for name in splits:
        _release()
        splits[name] = splits[name].compact()
    _release()
    return Data(
        splits,
        label_names=targets.names,
        problem_type=targets.problem_type,
        metric=headline(spec.task, targets.problem_type),
        about=about,
        logits_kind=given.kind,
    )


def _release() -> None:
    """Hand back what Arrow holds of buffers that are gone: tokens take as much again."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _read(spec: DataSpec, task: Task | None) -> Source:
    usual = task.validation if task else ("validation",)
    wanted = Wanted(spec.train_split, spec.validation_split, usual)
    if spec.data is None:
        glue = task_named(spec.task)
        return read_hub(HubName(glue.hub, glue.name), wanted)
    return read_source(spec.data, wanted, spec.task)


def _class_names(tables: list[Table], label_column: str) -> tuple[str, ...]:
    """Take the names that the source has for its class numbers, the same in every split."""
    first, *others = (table.class_names.get(label_column, ()) for table in tables)
    for table, names in zip(tables[1:], others, strict=True):
        if first and names and names != first:
            raise DataError(
                f"{table.where}, column {label_column}",
                expected=f"the classes of {tables[0].where} ({', '.join(first[:6])})",
                found=", ".join(names[:6]),
                do="give both splits the same ClassLabel",
            )
    return first


def _check_rows(tables: list[Table]) -> None:
    for table in tables:
        table.check_has_rows()
    if len(tables[0]) < 2:
        raise _too_few(tables[0].where, len(tables[0]))


def _targets(
    given: tuple[str, ...], task: Task | None, tables: list[Table], label_column: str
) -> Targets:
    """Find out what labels are: numbers, classes, or lists of classes."""
    if not given and task:
        if task.problem_type == REGRESSION:
            return Scores()
        given = task.label_names
    if is_multi_label(tables, label_column):
        return find_label_sets(tables, label_column, given)
    if not given and is_regression(tables, label_column):
        return Scores()
    return find_classes(tables, label_column, given)


def _split(
    table: Table, columns: tuple[str, ...], label: str, targets: Targets, *, published: bool
) -> TextSplit:
    labels = _labels(table, label, targets)
    may_be_empty = published and len(columns) == 2
    text_a, *rest = (texts(table, column, may_be_empty=may_be_empty) for column in columns)
    return TextSplit(text_a, rest[0] if rest else None, labels)


def _labels(table: Table, column: str, targets: Targets) -> npt.NDArray[np.generic]:
    """Read labels; a table without the column, which is train's, has none."""
    if column not in table.columns:
        return no_labels(len(table), targets.none)
    return targets.read(table, column)


def _hold_out(train: TextSplit, where: str) -> tuple[Indices, Indices]:
    """Divide the training rows where there are none for validation."""
    kept, held = hold_out(train.labels)
    if not len(held):
        raise _too_few(where, f"{len(train)}, too few to hold out some for validation")
    log.info(
        "%s: no validation rows, so a stratified tenth of train is held out: %d of %d rows",
        *(where, len(held), len(train)),
    )
    return kept, held


def _subset(labels: npt.NDArray[np.generic], fraction: float) -> Indices:
    part = subset(labels, fraction)
    log.info("subset %g: %d of %d training rows", fraction, len(part), len(labels))
    return part


def _too_few(where: str, found: object) -> DataError:
    return DataError(
        where,
        expected="at least two training rows, since a pair mixes two",
        found=found,
        do="add rows, or raise --subset",
    )
