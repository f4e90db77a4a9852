"""Scores: the stored logits against the stored labels, where there are labels."""

from __future__ import annotations

from collections.abc import Mapping

from mixkd.shared.arrays import Logits
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import metrics


def split_scores(
    examples: Mapping[str, Examples], logits: Mapping[str, Logits], problem_type: str
) -> dict[str, dict[str, float]]:
    """Compute the metrics of each split over its labelled rows; a split without any has no scores.

    Args:
        logits: Split -> the teacher's logits [n, C].

    Returns:
        split -> metric -> score.
    """
    found = {}
    for split, rows in examples.items():
        labelled = rows.labelled
        if labelled.any():
            found[split] = metrics(logits[split][labelled], rows.labels[labelled], problem_type)
    return found
