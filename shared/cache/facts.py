"""What a cache is and what its pairs add, in numbers: for the end of a build and for `info`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mixkd.shared.cache.header import About, Mixup
from mixkd.shared.cache.reader import Cache
from mixkd.shared.metrics import REGRESSION, kl_divergence, probabilities

Float = npt.NDArray[np.float64]
LAM_BINS = 5
SHARDS_SAMPLED = 64
NAMES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class MixBin:
    """Pairs whose heavier side weighs in [low, high): how far the teacher is from interpolating.

    Attributes:
        distance: Mean KL(interpolation of the teacher's answers || its answer on the mix), in nats;
            for regression the mean absolute difference.
    """

    low: float
    high: float
    pairs: int
    distance: float


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """A cache in numbers.

    Attributes:
        seal: The pin.
        splits: Name -> examples.
        scores: Split -> metric -> the teacher's score.
        mixing: The distance from interpolation by weight of the heavier side.
    """

    name: str
    about: About
    metric: str
    fingerprint: str
    seal: str
    problem_type: str
    label_names: tuple[str, ...]
    splits: dict[str, int]
    originals: int
    pairs: int
    shards: int
    size_bytes: int
    bytes_per_pair: float
    mixup: Mixup
    max_length: int
    logits_dtype: str
    starts: tuple[tuple[int, ...], ...]
    scores: dict[str, dict[str, float]]
    mixing: tuple[MixBin, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["bytes"] = values.pop("size_bytes")
        plain: dict[str, Any] = msgspec.to_builtins(
            {**values, "mixing": [asdict(found) for found in self.mixing]}
        )
        return plain

    def lines(self) -> list[str]:
        """Return the facts for people, one per line."""
        splits = ", ".join(f"{rows} {split}" for split, rows in self.splits.items())
        labels = self.label_names
        more = f" and {len(labels) - NAMES_SHOWN} more" if len(labels) > NAMES_SHOWN else ""
        shown = ", ".join(labels[:NAMES_SHOWN]) + more
        beta = self.mixup.beta
        starts = " or ".join(f"layers {', '.join(map(str, each))}" for each in self.starts)
        lines = [
            f"cache        {self.name}",
            f"teacher      {self.about.get('teacher', 'unknown')}",
            f"examples     {splits}; labels {shown or 'a number'}",
            f"pairs        {self.pairs}, Beta({beta:g}, {beta:g}), "
            f"mask {self.mixup.mask}, seed {self.mixup.seed}",
            f"size         {self.size_bytes} bytes in all, {self.bytes_per_pair:.1f} per pair, "
            f"{self.shards} shards",
            f"students     start from {starts or 'a model of their own'}",
            f"seal         {self.seal[:12]}",
        ]
        lines += [
            f"teacher on {split}: {self.metric} {scores[self.metric]:.4f}"
            for split, scores in self.scores.items()
            if self.metric in scores
        ]
        if self.pairs:
            kind = "difference" if self.problem_type == REGRESSION else "KL, nats"
            lines.append(f"teacher on mixes against interpolating its answers ({kind}):")
            lines += [
                f"  heavier side {b.low}-{b.high}: {b.distance:.4f} ({b.pairs} pairs)"
                for b in self.mixing
            ]
        return lines


def cache_facts(cache: Cache) -> CacheFacts:
    """Collect the facts about a cache."""
    identity, seal = cache.identity, cache.seal
    shard_bytes = {
        kind: sum(record.size_bytes for record in seal.records(kind))
        for kind in ("originals", "pairs")
    }
    return CacheFacts(
        name=cache.name,
        about=cache.about,
        metric=cache.header.metric,
        fingerprint=identity.fingerprint,
        seal=cache.pin,
        problem_type=identity.problem_type,
        label_names=identity.label_names,
        splits={split.name: split.rows for split in identity.splits},
        originals=seal.rows.originals,
        pairs=seal.rows.pairs,
        shards=len(seal.shards),
        size_bytes=sum(shard_bytes.values()) + sum(file.size_bytes for file in seal.files),
        bytes_per_pair=shard_bytes["pairs"] / seal.rows.pairs if seal.rows.pairs else 0.0,
        mixup=identity.mixup,
        max_length=identity.max_length,
        logits_dtype=identity.logits_dtype,
        starts=cache.starts,
        scores=seal.scores,
        mixing=mixing(cache),
    )


def mixing(cache: Cache) -> tuple[MixBin, ...]:
    """Measure the distance by weight of the heavier side, over up to 64 shards of pairs.

    Near 0 everywhere, pairs add nothing that a student could not get from the originals.
    """
    regression = cache.identity.problem_type == REGRESSION
    logits = cache.logits("train").astype(np.float64)  # [n, C]
    answers = logits if regression else probabilities(logits)  # [n, C]
    weights, distances = [np.empty(0)], [np.empty(0)]
    for record in cache.pair_records[:SHARDS_SAMPLED]:
        pairs = cache.pairs(record.start, record.stop)
        lam = pairs.lam.astype(np.float64)[:, None]  # [rows, 1]
        between = lam * answers[pairs.left] + (1 - lam) * answers[pairs.right]  # [rows, C]
        mixed = pairs.known_logits.astype(np.float64)  # [rows, C]
        distance = (
            np.abs(between - mixed)[:, 0]
            if regression
            else kl_divergence(between, probabilities(mixed))
        )  # [rows]
        weights.append(np.maximum(lam, 1 - lam)[:, 0])
        distances.append(distance)
    weight, distance = np.concatenate(weights), np.concatenate(distances)
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
