"""Convert lists of labels in a table to those of a multi-label model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixkd.shared.errors import DataError
from mixkd.shared.examples import Array
from mixkd.shared.label_lists import label_list
from mixkd.shared.metrics import MULTI_LABEL
from mixkd.student_train.finished.known_labels import KnownLabels


@dataclass(frozen=True, slots=True)
class KnownLabelSets(KnownLabels):
    """The labels of a model that answers with any number of them for a text."""

    @property
    def problem_type(self) -> str:
        return MULTI_LABEL

    def knows(self, value: object, class_names: Sequence[str] = ()) -> bool:
        """Tell whether a value of a column is a list of labels."""
        labels = label_list(value)
        return labels is not None and all(
            self.number(label, class_names) is not None for label in labels
        )

    def numbers(
        self, values: Sequence[object], where: str, column: str, class_names: Sequence[str] = ()
    ) -> Array:
        """Convert a column of lists: 0 and 1, int8 [n, C].

        All labels are names, or all are numbers, whichever most of them are.

        Raises:
            DataError: Naming the first row that is not a list of labels that the model knows.
        """
        lists = [label_list(value) for value in values]
        flat = [label for labels in lists if labels is not None for label in labels]
        unknown = {
            by_name: sum(self.number(each, class_names, by_name=by_name) is None for each in flat)
            for by_name in (True, False)
        }
        by_name = unknown[True] <= unknown[False]
        found = np.zeros((len(values), len(self.names)), np.int8)  # [n, C]
        for row, labels in enumerate(lists):
            numbers = [self.number(each, class_names, by_name=by_name) for each in labels or ()]
            if labels is None or None in numbers:
                raise DataError(
                    f"{where}, row {row + 1}, column {column}",
                    expected=f"a list of labels that the model knows ({self})",
                    found=repr(values[row])[:80],
                    do="correct the row, or choose another --label-column, --split or model",
                )
            found[row, [int(number) for number in numbers if number is not None]] = 1
        return found
