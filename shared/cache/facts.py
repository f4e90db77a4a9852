"""What a cache is and what its pairs add, in numbers: for the end of a build and for `info`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from mixkd.shared.cache.header import About, Mixup, labelled_note
from mixkd.shared.cache.interpolation import MixBin, PairsVerdict, mixing
from mixkd.shared.cache.reader import Cache
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION
from mixkd.shared.units import size

NAMES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """A cache in numbers.

    Attributes:
        seal: The pin.
        starts_bytes, shards_bytes: Of all starting points and all shards, the bulk of `size_bytes`.
        splits: Name -> examples.
        labelled: Name -> examples with a label.
        scores: Split -> metric -> the teacher's score.
        mixing: The distance from interpolation by weight of the heavier side.
        pairs_verdict: Whether pairs tell a student what the originals do not; None without pairs.
    """

    name: str
    about: About
    metric: str
    fingerprint: str
    seal: str
    problem_type: str
    label_names: tuple[str, ...]
    splits: dict[str, int]
    labelled: dict[str, int]
    originals: int
    pairs: int
    shards: int
    size_bytes: int
    starts_bytes: int
    shards_bytes: int
    bytes_per_pair: float
    mixup: Mixup
    max_length: int
    logits_dtype: str
    starts: tuple[tuple[int, ...], ...]
    scores: dict[str, dict[str, float]]
    mixing: tuple[MixBin, ...]
    pairs_verdict: PairsVerdict | None

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
        splits = ", ".join(
            f"{rows} {split}{labelled_note(rows, self.labelled[split])}"
            for split, rows in self.splits.items()
        )
        labels = self.label_names
        more = f" and {len(labels) - NAMES_SHOWN} more" if len(labels) > NAMES_SHOWN else ""
        shown = ", ".join(labels[:NAMES_SHOWN]) + more
        beta = self.mixup.beta
        starts = " or ".join(f"layers {', '.join(map(str, each))}" for each in self.starts)
        lines = [
            f"cache        {self.name}",
            f"teacher      {self.about.get('teacher', 'unknown')}",
            f"examples     {splits}; labels {shown or 'a number'}"
            + " (multi-label)" * (self.problem_type == MULTI_LABEL),
            f"pairs        {self.pairs}, Beta({beta:g}, {beta:g}), "
            f"mask {self.mixup.mask}, seed {self.mixup.seed}",
            f"size         {size(self.size_bytes)}: starting points {size(self.starts_bytes)}, "
            f"shards {size(self.shards_bytes)} ({self.shards}; "
            f"{self.bytes_per_pair:.1f} bytes per pair)",
            f"students     start from {starts or 'a model of their own: --student'}",
            f"seal         {self.seal[:12]}",
        ]
        lines += [
            f"teacher on {split}: {self.metric} {scores[self.metric]:.4f}"
            for split, scores in self.scores.items()
            if self.metric in scores
        ]
        if self.pairs:
            per_label = " per label" * (self.problem_type == MULTI_LABEL)
            kind = "difference" if self.problem_type == REGRESSION else f"KL{per_label}, nats"
            lines.append(f"teacher on mixes against interpolating its answers ({kind}):")
            lines += [
                f"  heavier side {b.low}-{b.high}: {b.distance:.4f} ({b.pairs} pairs)"
                for b in self.mixing
            ]
        if self.pairs_verdict is not None:
            lines += self.pairs_verdict.lines()
        return lines


def cache_facts(cache: Cache) -> CacheFacts:
    """Collect the facts about a cache."""
    identity, seal, mixed = cache.identity, cache.seal, mixing(cache)
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
        labelled={split.name: split.labelled for split in identity.splits},
        originals=seal.rows.originals,
        pairs=seal.rows.pairs,
        shards=len(seal.shards),
        size_bytes=sum(shard_bytes.values()) + sum(file.size_bytes for file in seal.files),
        starts_bytes=sum(f.size_bytes for f in seal.files if f.path.startswith("student_init/")),
        shards_bytes=sum(shard_bytes.values()),
        bytes_per_pair=shard_bytes["pairs"] / seal.rows.pairs if seal.rows.pairs else 0.0,
        mixup=identity.mixup,
        max_length=identity.max_length,
        logits_dtype=identity.logits_dtype,
        starts=cache.starts,
        scores=seal.scores,
        mixing=mixed.bins,
        pairs_verdict=mixed.verdict,
    )
