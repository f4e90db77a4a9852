"""The nine GLUE tasks as a table: where their data are, what is measured, who teaches by default.

A task of your own needs no row here: `--data` takes any folder, file or Hub data set. A row saves
naming the columns and gives a default teacher. Names of columns, splits and labels, and the labels'
order, are those of the Hub's `nyu-mll/glue`; metrics are GLUE's (Wang et al., 2019, table 1), the
headline first. The default teachers are published BERT-base models that hold safetensors,
read off the Hub's pages; the gate on the validation score stands between a wrong row and a cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixkd.shared.errors import UsageError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION

GLUE = "nyu-mll/glue"
MNLI_VALIDATIONS = ("validation_matched", "validation_mismatched")


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the table.

    Attributes:
        name: As given with `--task`; also the Hub data set's configuration.
        text_columns: One or two, in the order in which the tokenizer gets them.
        label_names: In the order of the class numbers; empty for regression.
        metrics: Names from `mixkd.shared.metrics`; the first is the headline.
        teacher: A fine-tuned model on the Hub, used where no `--teacher` is given.
        teacher_labels: The teacher's label for each class, where it orders them otherwise.
        validation: The labelled validation splits.
    """

    name: str
    text_columns: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    teacher: str
    teacher_labels: tuple[int, ...] | None = None
    validation: tuple[str, ...] = ("validation",)
    label_column: str = "label"
    hub: str = GLUE

    @property
    def problem_type(self) -> str:
        return CLASSIFICATION if self.label_names else REGRESSION

    @property
    def headline(self) -> str:
        return self.metrics[0]


SENTENCE = ("sentence",)
SENTENCES = ("sentence1", "sentence2")
ENTAILMENT = ("entailment", "not_entailment")

TASKS = {
    task.name: task
    for task in (
        Task(
            "cola",
            SENTENCE,
            ("unacceptable", "acceptable"),
            ("matthews_correlation",),
            teacher="JeremiahZ/bert-base-uncased-cola",
        ),
        Task(
            "sst2",
            SENTENCE,
            ("negative", "positive"),
            ("accuracy",),
            teacher="JeremiahZ/bert-base-uncased-sst2",
        ),
        Task(
            "mrpc",
            SENTENCES,
            ("not_equivalent", "equivalent"),
            ("f1", "accuracy"),
            teacher="JeremiahZ/bert-base-uncased-mrpc",
        ),
        Task(
            "stsb",
            SENTENCES,
            (),
            ("pearson", "spearman"),
            teacher="yoshitomo-matsubara/bert-base-uncased-stsb",
        ),
        Task(
            "qqp",
            ("question1", "question2"),
            ("not_duplicate", "duplicate"),
            ("f1", "accuracy"),
            teacher="JeremiahZ/bert-base-uncased-qqp",
        ),
        Task(
            "mnli",
            ("premise", "hypothesis"),
            ("entailment", "neutral", "contradiction"),
            ("accuracy",),
            teacher="yoshitomo-matsubara/bert-base-uncased-mnli",
            validation=MNLI_VALIDATIONS,
        ),
        Task(
            "qnli",
            ("question", "sentence"),
            ENTAILMENT,
            ("accuracy",),
            teacher="JeremiahZ/bert-base-uncased-qnli",
        ),
        Task(
            "rte",
            SENTENCES,
            ENTAILMENT,
            ("accuracy",),
            teacher="JeremiahZ/bert-base-uncased-rte",
        ),
        Task(
            "wnli",
            SENTENCES,
            ("not_entailment", "entailment"),
            ("accuracy",),
            teacher="yoshitomo-matsubara/bert-base-uncased-wnli",
        ),
    )
}


def task_named(name: str) -> Task:
    """The row of a GLUE task.

    Raises:
        UsageError: If it is none of the nine, naming them and `--data`.
    """
    if name not in TASKS:
        raise UsageError(
            "--task",
            expected=f"one of {', '.join(TASKS)}",
            found=repr(name),
            do="for a task of your own, say where its texts are: --data FOLDER",
        )
    return TASKS[name]


def headline(task: str, problem_type: str) -> str:
    """The metric that stands for a task; accuracy or pearson for one that is not in the table."""
    if task in TASKS and TASKS[task].problem_type == problem_type:
        return TASKS[task].headline
    return "pearson" if problem_type == REGRESSION else "accuracy"
