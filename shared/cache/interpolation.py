"""Are pairs worth their cost? How far a teacher's answers on mixes are from interpolating.

Whoever has the teacher's answers to both sides of a pair can interpolate them without asking it
again. What the pairs of a cache add is the difference between that and the teacher's own answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixkd.shared.cache.reader import Cache
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION, kl_divergence, probabilities

Float = npt.NDArray[np.float64]
LAM_BINS = 5
SHARDS_SAMPLED = 64
# Mean KL in nats. By Pinsker's inequality, a KL of K lets no probability differ by more than
# sqrt(K / 2): 0.07 at 0.01 nats, and 0.16 at 0.05. Both are far above what number formats do:
# bfloat16 against float32 is about 1e-5 nats for a fine-tuned MiniLM.
CLOSE_NATS, DIFFERENT_NATS = 0.01, 0.05
# Of a regression, in standard deviations of its answers: 1% and 9% of their variance.
CLOSE_DEVIATIONS, DIFFERENT_DEVIATIONS = 0.1, 0.3
CLOSE, BETWEEN, DIFFERENT = "close", "between", "different"
WORDS = {
    CLOSE: "answers on mixes are close to interpolating the answers on both sides, so targets "
    "interpolated from the originals would do: pairs add little here",
    BETWEEN: "answers on mixes differ somewhat from interpolating the answers on both sides: "
    "pairs may be worth their cost",
    DIFFERENT: "answers on mixes differ from interpolating the answers on both sides: "
    "pairs carry information that the originals do not have",
}
HONESTLY = "an indication, not a measured gain: compare students of --method kd and --method mixkd"


@dataclass(frozen=True, slots=True)
class MixBin:
    """Pairs whose heavier side weighs in [low, high): how far the teacher is from interpolating.

    Attributes:
        distance: Mean KL(interpolation of the teacher's answers || its answer on the mix), in nats;
            for multi-label the mean over labels too, for regression the mean absolute difference.
    """

    low: float
    high: float
    pairs: int
    distance: float


@dataclass(frozen=True, slots=True)
class PairsVerdict:
    """Whether pairs tell a student what the originals do not.

    Attributes:
        kind: close, between or different.
        distance: Mean over pairs, as in `MixBin`.
        scale: What to compare it with: the mean entropy of the interpolated answers, in nats and
            for multi-label per label; for regression the standard deviation of the answers.
        close, different: The thresholds, in the unit of `distance`.
        relabelled: Share of the pairs whose most probable label is another one than interpolation
            says, or for multi-label whose predicted labels are others; None for regression.
        summary: In words.
    """

    kind: str
    distance: float
    scale: float
    close: float
    different: float
    relabelled: float | None
    summary: str

    def lines(self) -> list[str]:
        """Return the verdict for people."""
        changed = "" if self.relabelled is None else f", another label on {self.relabelled:.0%}"
        what = "standard deviation" if self.relabelled is None else "entropy"
        findings, _, consequence = self.summary.partition(": ")
        return [
            f"  all pairs: {self.distance:.4f}{changed}; "
            f"below {self.close:.2g} is close, from {self.different:.2g} on different",
            f"  {what} of the interpolated answers: {self.scale:.4f}",
            f"verdict      {findings}:",
            f"             {consequence}",
            f"             ({HONESTLY})",
        ]


@dataclass(frozen=True, slots=True)
class Mixing:
    """Mixes against interpolation: by weight of the heavier side, and in all if there are any."""

    bins: tuple[MixBin, ...]
    verdict: PairsVerdict | None


def mixing(cache: Cache) -> Mixing:
    """Measure the distances over up to 64 shards of pairs."""
    problem_type = cache.identity.problem_type
    regression = problem_type == REGRESSION
    logits = cache.logits("train").astype(np.float64)  # [n, C]
    answers = logits if regression else probabilities(logits, problem_type)  # [n, C]
    none = np.empty(0)
    weights, distances, interpolated, changes = [none], [none], [none], [none]
    for record in cache.pair_records[:SHARDS_SAMPLED]:
        pairs = cache.pairs(record.start, record.stop)
        lam = pairs.lam.astype(np.float64)[:, None]  # [rows, 1]
        between = lam * answers[pairs.left] + (1 - lam) * answers[pairs.right]  # [rows, C]
        mixed = pairs.known_logits.astype(np.float64)  # [rows, C]
        weights.append(np.maximum(lam, 1 - lam)[:, 0])
        if regression:
            distances.append(np.abs(between - mixed)[:, 0])
            interpolated.append(between[:, 0])
        else:
            answer = probabilities(mixed, problem_type)  # [rows, C]
            distances.append(kl_divergence(between, answer, problem_type))
            interpolated.append(_entropy(between, problem_type))
            changes.append(_changed(between, answer, problem_type))
    weight, distance = np.concatenate(weights), np.concatenate(distances)  # [pairs]
    bins = _bins(weight, distance)
    if not len(distance):
        return Mixing(bins, None)
    scale = np.concatenate(interpolated)  # [pairs]
    if regression:
        return Mixing(bins, verdict(float(distance.mean()), float(scale.std()), None))
    changed = float(np.concatenate(changes).mean())
    return Mixing(bins, verdict(float(distance.mean()), float(scale.mean()), changed))


def verdict(distance: float, scale: float, relabelled: float | None) -> PairsVerdict:
    """Judge a mean distance; see `PairsVerdict`."""
    if relabelled is None:
        close, different = CLOSE_DEVIATIONS * scale, DIFFERENT_DEVIATIONS * scale
    else:
        close, different = CLOSE_NATS, DIFFERENT_NATS
    kind = CLOSE if distance < close else BETWEEN if distance < different else DIFFERENT
    return PairsVerdict(kind, distance, scale, close, different, relabelled, WORDS[kind])


def _changed(between: Float, answer: Float, problem_type: str) -> Float:
    """Give 1 for rows of probabilities [rows, C] that predict different labels, else 0: [rows]."""
    if problem_type == MULTI_LABEL:
        return np.asarray(((between > 0.5) != (answer > 0.5)).any(axis=1), np.float64)
    return np.asarray(between.argmax(axis=1) != answer.argmax(axis=1), np.float64)


def _entropy(distribution: Float, problem_type: str) -> Float:
    from scipy.special import entr

    if problem_type == MULTI_LABEL:
        return np.asarray((entr(distribution) + entr(1 - distribution)).mean(axis=1))  # [rows]
    entropy: Float = entr(distribution).sum(axis=1)  # [rows]
    return entropy


def _bins(weight: Float, distance: Float) -> tuple[MixBin, ...]:
    edges = np.linspace(0.5, 1.0, LAM_BINS + 1)
    bins = np.clip(np.searchsorted(edges, weight, side="right") - 1, 0, LAM_BINS - 1)
    return tuple(
        MixBin(
            low=round(float(edges[k]), 3),
            high=round(float(edges[k + 1]), 3),
            pairs=int((bins == k).sum()),
            distance=float(distance[bins == k].mean()) if (bins == k).any() else 0.0,
        )
        for k in range(LAM_BINS)
    )
