"""Several columns of 0 and 1, one per label, as one column of lists: `--label-column a,b,c`."""

from __future__ import annotations

from dataclasses import replace

from mixkd.shared.data.columns import LABEL_OPTION
from mixkd.shared.data.sources import Column, Source, Table
from mixkd.shared.label_lists import flag_columns, flagged


def with_label_lists(source: Source, label_column: str | None) -> Source:
    """Add a column of lists, called as the option names it, where that names several columns.

    Labels are called as the columns, in that order. A table that has none of these has no labels.

    Raises:
        DataError: If a table has some of the columns; about values when they are read.
    """
    tables = {name: _with_lists(table, label_column) for name, table in source.tables.items()}
    return replace(source, tables=tables)


def _with_lists(table: Table, label_column: str | None) -> Table:
    names = flag_columns(label_column, table.columns)
    if label_column is None or not names or not {*names} & {*table.columns}:
        return table
    for name in names:
        table.check_has(name, LABEL_OPTION)
    lists = Column(len(table), lambda: [_lists(table, names)])
    return replace(
        table,
        columns={**table.columns, label_column: lists},
        class_names={**table.class_names, label_column: names},
    )


def _lists(table: Table, names: tuple[str, ...]) -> list[object]:
    """Name the labels of each row; None where no column has a value."""
    columns = [table.column(name, LABEL_OPTION) for name in names]
    return [
        None
        if all(cell in (None, "") for cell in cells)
        else flagged(names, cells, f"{table.where}, row {row}")
        for row, cells in enumerate(zip(*columns, strict=True), 1)
    ]
