"""The verdict at the end of a run: is the student worth having, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixkd.shared.errors import printable
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION, metrics
from mixkd.shared.multi_label import best_constant
from mixkd.student_train.headline import Headline
from mixkd.student_train.results import RunSettings, Validated, Validation, Verdict

Trend = Literal["rising", "level", "falling", "unknown"]
CORRELATIONS = ("pearson", "spearman", "matthews_correlation")
STANDARD_ERRORS = 2.0
CONSTANTS_TRIED = 16
HIGHEST_RATE_PROPOSED = 3e-4
TRENDS: dict[Trend, str] = {
    "rising": "still rising at the end",
    "level": "level at the end",
    "falling": "worse again at the end",
    "unknown": "",
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """The best answer that ignores the text, in words, and its score on so many examples."""

    name: str
    score: float
    examples: int


def baseline(
    headline: Headline, labels: npt.NDArray[Any], label_names: Sequence[str], problem_type: str
) -> Baseline:
    """Find the constant answer with the best headline: for accuracy the majority class.

    For multi-label it is the one with the best micro F1. Of many classes only the 16 most frequent
    are tried, among which it is.

    Args:
        labels: Of the headline's split: classes or numbers [n], or 0 and 1 per label [n, C].
    """

    def score(row: npt.ArrayLike) -> float:
        logits = np.asarray(row, np.float64)
        every = np.broadcast_to(logits, (len(labels), len(logits)))  # [n, C]
        return metrics(every, labels, problem_type)[headline.metric]

    if problem_type == REGRESSION:
        return Baseline("the mean", score([labels.mean()]), len(labels))
    if problem_type == MULTI_LABEL:
        always = best_constant(labels)  # [C]
        several = f"the {always.sum()} most frequent labels"
        name = several if always.sum() > 1 else f"'{printable(label_names[int(always.argmax())])}'"
        return Baseline(name, score(np.where(always, 1.0, -1.0)), len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    frequent = classes[np.argsort(-counts, kind="stable")][:CONSTANTS_TRIED]
    scores = [score(np.arange(len(label_names)) == label) for label in frequent]
    best = max(range(len(scores)), key=lambda at: headline.gain(0.0, scores[at]))
    return Baseline(f"'{printable(label_names[frequent[best]])}'", scores[best], len(labels))


def standard_error(metric: str, score: float, examples: int) -> float:
    """Estimate the standard error of a score: of a correlation, of squared errors, of a share."""
    if metric in CORRELATIONS:
        return (1 - score**2) / math.sqrt(examples)
    if metric == "mse":
        return score * math.sqrt(2 / examples)
    return math.sqrt(max(0.0, score * (1 - score)) / examples)


def trend(headline: Headline, history: Sequence[Validated], examples: int) -> Trend:
    """Compare the last validation with the best one before it; a standard error is no change."""
    if len(history) < 2:
        return "unknown"
    *before, last = history
    score = headline.score(last.metrics)
    gain = headline.gain(headline.score(before[headline.best(before)].metrics), score)
    if abs(gain) <= standard_error(headline.metric, score, examples):
        return "level"
    return "rising" if gain > 0 else "falling"


def judge(
    headline: Headline,
    history: Sequence[Validated],
    kept: Validation,
    teacher: Validation,
    against: Baseline,
    settings: RunSettings,
    pairs: int,
) -> Verdict:
    """Judge the kept student.

    Args:
        kept, teacher: Metrics of both.
        pairs: Those that the cache holds.
    """
    score, metric = headline.score(kept), headline.metric
    margin = headline.gain(against.score, score)
    error = standard_error(metric, against.score, against.examples)
    better = margin > STANDARD_ERRORS * error
    direction = trend(headline, history, against.examples)
    behind = headline.gain(score, headline.score(teacher))
    student = kept[headline.split]
    agreement = student.get("teacher_agreement", student.get("teacher_pearson"))

    shown = metric.replace("_", " ")
    standing = "better" if better else "NO BETTER"
    parts = [
        f"{standing} than always answering {against.name}: {shown} {score:.4f} against "
        f"{against.score:.4f} (standard error {error:.4f})",
        f"{abs(100 * behind):.1f} points {'behind' if behind >= 0 else 'ahead of'} the teacher"
        + (f", agreement {agreement:.4f}" if agreement is not None else ""),
        TRENDS[direction],
    ]
    close = behind <= STANDARD_ERRORS * standard_error(metric, score, against.examples)
    return Verdict(
        better=better,
        baseline=f"always answering {against.name}",
        baseline_score=against.score,
        margin=margin,
        standard_error=error,
        trend=direction,
        behind_teacher=behind,
        agreement=agreement,
        advice=tuple(_advice(better, close, direction, settings, pairs)),
        summary="; ".join(filter(None, parts)),
    )


def _advice(
    better: bool, close: bool, direction: Trend, settings: RunSettings, pairs: int
) -> list[str]:
    """Propose what is likely to help most, at most three things."""
    if better and close and direction != "rising":
        return []
    longer = f"more epochs: --epochs {2 * settings.epochs}"
    if settings.max_steps is not None:
        longer = f"more steps: --max-steps {2 * settings.max_steps}"
    found = []
    if direction == "rising" or not better:
        found.append(longer)
    if direction == "falling":
        found.append(f"a lower rate: --learning-rate {settings.learning_rate / 2:g}")
    elif not better and settings.learning_rate * 2 <= HIGHEST_RATE_PROPOSED:
        found.append(f"a higher rate: --learning-rate {settings.learning_rate * 2:g}")
    if not better or direction == "level":
        found.append("another start: --layers of a cache built with --starts first,spread")
    if better and direction != "rising":
        uses_pairs = settings.weights.get("sm") or settings.weights.get("tmkd")
        unused = pairs and not uses_pairs
        found.append("the cache's pairs: --method mixkd" if unused else "more data, or more pairs")
    return found[:3]
