"""Choose the columns of texts and labels: those asked for, of usual names, or by their values."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mixkd.shared.data.guess import guess_columns
from mixkd.shared.data.sources import Table
from mixkd.shared.errors import DataError
from mixkd.shared.options import check

log = logging.getLogger(__name__)
WELL_KNOWN_TEXTS: tuple[tuple[str, ...], ...] = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("sentence",),
    ("text",),
    ("text_a", "text_b"),  # of a cache
)
TEXT_OPTION, LABEL_OPTION = "--text-columns", "--label-column"
WELL_KNOWN_LABEL = "label"
NO_LABEL = ""  # in place of a column of labels that is not looked for


def check_number_of_texts(columns: Sequence[str]) -> None:
    """Refuse more than two text columns, or one of them twice.

    Raises:
        UsageError: Naming the option.
    """
    different = len(columns) <= 2 and len({*columns}) == len(columns)
    pairs = "a model reads one text or a pair of texts"
    check(TEXT_OPTION, ",".join(columns), different, "one or two different columns", pairs)


def choose_columns(
    table: Table,
    texts: tuple[str, ...],
    label: str | None,
    usual_texts: tuple[str, ...] = (),
    usual_label: str = WELL_KNOWN_LABEL,
) -> tuple[tuple[str, ...], str]:
    """Choose the text columns and the label column, and log which they are.

    Those asked for come first, then the usual ones, then well-known names; what is still open is
    what the values leave: the one column that reads as text, the one that reads as labels.

    Args:
        texts, label: Those asked for; empty and None find them.
        usual_texts, usual_label: Those of the task.

    Raises:
        DataError: If a wanted column is missing, or there are none or several to choose from,
            naming them.
    """
    if label is not None:
        table.check_has(label, LABEL_OPTION)
    known_labels = (usual_label, WELL_KNOWN_LABEL)
    label = label or next((name for name in known_labels if name in table.columns), None)
    texts = _by_name(table, texts, label, usual_texts)
    if not texts or label is None:
        texts, label = _guessed(table, texts, label)
    log.info("%s: %s; label column: %s", table.where, _said(texts), label)
    return texts, label


def choose_texts(table: Table, texts: tuple[str, ...], label: str | None) -> tuple[str, ...]:
    """Choose the text columns alone, as `choose_columns` does, and log which they are.

    Args:
        texts: Those asked for; empty finds them.
        label: The column of labels, where there is one.

    Raises:
        DataError: As `choose_columns` does.
    """
    texts = _by_name(table, texts, label)
    if not texts:
        texts, _ = _guessed(table, texts, label or NO_LABEL)
    log.info("%s: %s", table.where, _said(texts))
    return texts


def _by_name(
    table: Table, texts: tuple[str, ...], label: str | None, usual: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Take the text columns that are asked for, else those of usual names; empty is neither."""
    for name in texts:
        table.check_has(name, TEXT_OPTION)
    known = (usual, *WELL_KNOWN_TEXTS)
    return texts or next((n for n in known if n and {*n} <= {*table.columns} - {label}), ())


def _said(texts: tuple[str, ...]) -> str:
    return f"text column{'s' * (len(texts) > 1)}: {', '.join(texts)}"


def _guessed(
    table: Table, texts: tuple[str, ...], label: str | None
) -> tuple[tuple[str, ...], str]:
    """Fill in what no name says, where the values allow one reading."""
    guess = guess_columns(table, texts, label)
    if len(guess.labels) == 1 and (texts or len(guess.texts) == 1):
        return texts or guess.texts, guess.labels[0]
    looked_for, found, do = [], [], []
    if not texts:
        looked_for.append("a column of texts")
        found.append(f"texts in {_listed(guess.texts)}")
        do.append(f"{TEXT_OPTION} {guess.texts[0] if guess.texts else 'NAME'}")
    if label is None:
        looked_for.append("a column of labels")
        found.append(f"labels in {_listed(guess.labels)}")
        do.append(f"{LABEL_OPTION} {guess.labels[0] if guess.labels else 'NAME'}")
    unlabelled = bool(texts) and label is None and not guess.labels
    least = "label rows, those for validation at least, or " * unlabelled
    raise DataError(
        table.where,
        expected=f"{' and '.join(looked_for)}, one that stands out",
        found=f"{', '.join(found)}, of the columns {table.listed}",
        do=f"{least}say which, as in {' '.join(do)}",
    )


def _listed(names: tuple[str, ...]) -> str:
    shown = " or ".join(names[:8]) or "none"
    return f"{shown}, …" if len(names) > 8 else shown
