"""Show an evaluation as tables: metrics, classes, confusion where one class excludes others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixkd.shared.errors import printable
from mixkd.student_train.finished.result import Evaluation

if TYPE_CHECKING:
    from rich.table import Table

CLASSES_SHOWN = 12  # in a square; of more, the confusions that occur most
CONFUSIONS_SHOWN = 12


def tables(found: Evaluation) -> list[Table]:
    """Build the tables of an evaluation."""
    drawn = [_metrics(found)]
    if found.classes:
        drawn.append(_classes(found))
    if found.confusion:
        small = len(found.classes) <= CLASSES_SHOWN
        drawn.append(_square(found) if small else _most_confused(found))
    return drawn


def _metrics(found: Evaluation) -> Table:
    against = found.against_teacher
    teachers = against.teacher if against is not None else {}
    few = against is not None and against.examples < found.examples
    columns = [f"teacher, {against.examples:,} rows" if few and against else "teacher"]
    table = _table(f"{found.model} on {found.data}", "", "model", *(columns if teachers else []))
    for name, value in found.metrics.items():
        own = [f"{teachers[name]:.4f}"] if teachers else []
        table.add_row(_words(name), f"{value:.4f}", *own)
    rows = [("examples", f"{found.examples:,}"), ("texts cut at, tokens", f"{found.max_length:,}")]
    if against is not None:
        rows += [("examples in the cache", f"{against.examples:,}")]
        rows += [(_words(name), f"{value:.4f}") for name, value in against.metrics.items()]
    speed = found.speed
    rows += [
        ("parameters", f"{speed.parameters:,}"),
        ("size, MB", f"{speed.size_mb:,.1f}"),
        (f"examples per second ({found.device})", f"{speed.examples_per_second:,.0f}"),
        (f"ms for one example ({found.device})", f"{speed.latency_ms:.1f}"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def _classes(found: Evaluation) -> Table:
    table = _table("by class", "label", "precision", "recall", "F1", "examples")
    for each in found.classes:
        scores = (each.precision, each.recall, each.f1)
        table.add_row(_shown(each.name), *(f"{s:.4f}" for s in scores), f"{each.support:,}")
    return table


def _square(found: Evaluation) -> Table:
    names = [_shown(name) for name in found.label_names]
    table = _table("labels (rows) against predictions (columns)", "", *names)
    for name, counts in zip(names, found.confusion, strict=True):
        table.add_row(name, *(f"{count:,}" for count in counts))
    return table


def _most_confused(found: Evaluation) -> Table:
    names = found.label_names
    wrong = [
        (count, names[label], names[predicted])
        for label, counts in enumerate(found.confusion)
        for predicted, count in enumerate(counts)
        if count and label != predicted
    ]
    table = _table("most frequent confusions", "label", "predicted as", "examples")
    for count, label, predicted in sorted(wrong, key=lambda row: -row[0])[:CONFUSIONS_SHOWN]:
        table.add_row(_shown(label), _shown(predicted), f"{count:,}")
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=_shown(title))
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))
