"""What a cache is and what its pairs add, in numbers: for the end of a build and for `info`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkd.shared.cache.reader import Cache
from mixkd.shared.metrics import REGRESSION

Float = npt.NDArray[np.float64]
LAM_BINS = 5
SHARDS_LOOKED_AT = 64


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


def mixing(cache: Cache) -> list[MixBin]:
    """The distance by weight of the heavier side, over up to 64 shards of pairs.

    Near 0 everywhere, pairs add nothing that a student could not get from the originals.
    """
    logits = cache.originals()["train"].astype(np.float64)
    regression = cache.identity.problem_type == REGRESSION
    answers = logits if regression else _softmax(logits)
    weights, distances = [np.empty(0)], [np.empty(0)]
    for record in cache.pair_records[:SHARDS_LOOKED_AT]:
        columns = cache.read(record)
        lam = columns["lam"].astype(np.float64)[:, None]
        between = lam * answers[columns["left"]] + (1 - lam) * answers[columns["right"]]
        mixed = columns["logits"].astype(np.float64)
        distance = np.abs(between - mixed)[:, 0] if regression else _kl(between, _softmax(mixed))
        weights.append(np.maximum(lam, 1 - lam)[:, 0])
        distances.append(distance)
    weight, distance = np.concatenate(weights), np.concatenate(distances)
    edges = np.linspace(0.5, 1.0, LAM_BINS + 1)
    places = np.clip(np.searchsorted(edges, weight, side="right") - 1, 0, LAM_BINS - 1)
    return [
        MixBin(
            low=round(float(edges[k]), 3),
            high=round(float(edges[k + 1]), 3),
            pairs=int((places == k).sum()),
            distance=float(distance[places == k].mean()) if (places == k).any() else 0.0,
        )
        for k in range(LAM_BINS)
    ]


def facts(cache: Cache) -> dict[str, Any]:
    """A cache in numbers, as JSON."""
    identity, seal = cache.identity, cache.seal
    shard_bytes = {
        kind: sum(record.size_bytes for record in seal.records(kind))
        for kind in ("originals", "pairs")
    }
    return {
        "name": cache.name,
        "about": cache.about,
        "fingerprint": identity.fingerprint,
        "seal": seal.digest,
        "problem_type": identity.problem_type,
        "label_names": list(identity.label_names),
        "splits": {split.name: split.rows for split in identity.splits},
        "originals": seal.originals,
        "pairs": seal.pairs,
        "shards": len(seal.shards),
        "bytes": sum(shard_bytes.values()) + sum(file.size_bytes for file in seal.files),
        "bytes_per_pair": shard_bytes["pairs"] / seal.pairs if seal.pairs else 0.0,
        "mixup": identity.to_json()["mixup"],
        "max_length": identity.max_length,
        "logits_dtype": identity.logits_dtype,
        "student_layers": list(cache.student_depths),
        "scores": seal.scores,
        "mixing": [asdict(found) for found in mixing(cache)],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """`facts` for people."""
    metric = found["about"].get("metric", "accuracy")
    splits = ", ".join(f"{rows} {split}" for split, rows in found["splits"].items())
    labels = found["label_names"]
    shown = ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")
    mixup = found["mixup"]
    told = [
        f"cache        {found['name']}",
        f"teacher      {found['about'].get('teacher', 'unknown')}",
        f"examples     {splits}; labels {shown or 'a number'}",
        f"pairs        {found['pairs']}, Beta({mixup['beta']:g}, {mixup['beta']:g}), "
        f"mask {mixup['mask']}, seed {mixup['seed']}",
        f"size         {found['bytes']} bytes in all, {found['bytes_per_pair']:.1f} a pair, "
        f"{found['shards']} shards",
        f"students     of {', '.join(map(str, found['student_layers'])) or 'no'} layers can start",
        f"seal         {found['seal'][:12]}",
    ]
    for split, scores in found["scores"].items():
        told.append(f"teacher on {split}: {metric} {scores[metric]:.4f}")
    if found["pairs"]:
        kind = "difference" if found["problem_type"] == REGRESSION else "KL, nats"
        told.append(f"teacher on mixes against interpolating its answers ({kind}):")
        told += [
            f"  heavier side {b['low']}-{b['high']}: {b['distance']:.4f} ({b['pairs']} pairs)"
            for b in found["mixing"]
        ]
    return told


def _softmax(logits: Float) -> Float:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: Float = powers / powers.sum(axis=1, keepdims=True)
    return scaled


def _kl(left: Float, right: Float) -> Float:
    """KL(left || right) of each row, in nats."""
    tiny = np.finfo(np.float64).tiny
    terms: Float = (left * (np.log(left + tiny) - np.log(right + tiny))).sum(axis=1)
    return terms
