"""The nine GLUE tasks as a table: where their data are, what is measured, who teaches by default.

A task of your own needs no row here: `--data` takes any folder, file or Hub data set. A row saves
naming the columns and gives a default teacher. Names of columns, splits and labels, and the labels'
order, are those of the Hub's `nyu-mll/glue`; metrics are GLUE's (Wang et al., 2019, table 1), the
headline first. The default teachers are published BERT-base models that hold safetensors,
read off the Hub's pages; the gate on the validation score stands between a wrong row and a cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixkd.shared.metrics import CLASSIFICATION, HEADLINES, REGRESSION
from mixkd.shared.options import check

GLUE = "nyu-mll/glue"


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the table.

    Attributes:
        name: As given with `--task`; also the Hub data set's configuration.
        text_columns: One or two, in the order in which the tokenizer gets them.
        label_names: In the order of the class numbers; empty for regression.
        metrics: Names from `mixkd.shared.metrics`; the first is the headline.
        teacher: A fine-tuned model on the Hub, used where no `--teacher` is given.
        teacher_labels: The teacher's label for each class, where its order is different.
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
QUESTIONS = ("question1", "question2")
ENTAILMENT = ("entailment", "not_entailment")
NLI = ("entailment", "neutral", "contradiction")
MNLI_VALIDATIONS = ("validation_matched", "validation_mismatched")
ACCURACY = ("accuracy",)
F1 = ("f1", "accuracy")
MATTHEWS = ("matthews_correlation",)
CORRELATIONS = ("pearson", "spearman")
JEREMIAHZ = "JeremiahZ/bert-base-uncased"
MATSUBARA = "yoshitomo-matsubara/bert-base-uncased"

ROWS = (
    Task("cola", SENTENCE, ("unacceptable", "acceptable"), MATTHEWS, f"{JEREMIAHZ}-cola"),
    Task("sst2", SENTENCE, ("negative", "positive"), ACCURACY, f"{JEREMIAHZ}-sst2"),
    Task("mrpc", SENTENCES, ("not_equivalent", "equivalent"), F1, f"{JEREMIAHZ}-mrpc"),
    Task("stsb", SENTENCES, (), CORRELATIONS, f"{MATSUBARA}-stsb"),
    Task("qqp", QUESTIONS, ("not_duplicate", "duplicate"), F1, f"{JEREMIAHZ}-qqp"),
    Task(
        *("mnli", ("premise", "hypothesis"), NLI, ACCURACY, f"{MATSUBARA}-mnli"),
        validation=MNLI_VALIDATIONS,
    ),
    Task("qnli", ("question", "sentence"), ENTAILMENT, ACCURACY, f"{JEREMIAHZ}-qnli"),
    Task("rte", SENTENCES, ENTAILMENT, ACCURACY, f"{JEREMIAHZ}-rte"),
    Task("wnli", SENTENCES, ENTAILMENT[::-1], ACCURACY, f"{MATSUBARA}-wnli"),
)
TASKS = {task.name: task for task in ROWS}


def task_named(name: str) -> Task:
    """Look up a GLUE task.

    Raises:
        UsageError: If it is none of the nine, naming them and `--data`.
    """
    do = "for a task of your own, say where its texts are: --data FOLDER"
    check("--task", repr(name), name in TASKS, f"one of {', '.join(TASKS)}", do)
    return TASKS[name]


def headline(task: str, problem_type: str) -> str:
    """Choose a task's headline metric: that of its kind of labels where the table does not say."""
    if task in TASKS and TASKS[task].problem_type == problem_type:
        return TASKS[task].headline
    return HEADLINES[problem_type]
