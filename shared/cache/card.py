"""The cache's README.md: a data set card for people and for the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Record
from mixkd.shared.markdown import plain

LABELS_SHOWN = 200
PROSE = """
# Teacher logits: {task}

Raw logits of one teacher on {originals} examples and on {pairs} mixup pairs of them, in the mixkd
cache format 1. Train a student from it, without the teacher, with `train-student --cache DIR`;
check it with `cache-teacher verify DIR`.

| split | rows | teacher |
|---|---|---|
{rows}

- labels: {labels}
- mix: Beta({beta:g}, {beta:g}), mask {mask}, seed {seed}; `lam` is the weight of the left side
- longest input: {max_length} tokens
- logits: {dtype}
- fingerprint: `{fingerprint}`
- seal: `{pin}`
{about}
"""


def card(cache: Cache) -> str:
    """Return the card's text; the same for the same seal."""
    from huggingface_hub import DatasetCardData

    identity, seal, about = cache.identity, cache.seal, cache.about
    data = DatasetCardData(
        tags=["mixkd", "knowledge-distillation"],
        task_categories=["text-classification"],
        configs=_configs(cache),
    )
    prose = PROSE.format(
        task=plain(about.get("task", cache.root.name)),
        originals=seal.rows.originals,
        pairs=seal.rows.pairs,
        rows="\n".join(
            f"| {split.name} | {split.rows} | {_scores(seal.scores[split.name])} |"
            for split in identity.splits
        ),
        labels=_labels(identity.label_names),
        beta=identity.mixup.beta,
        mask=identity.mixup.mask,
        seed=identity.mixup.seed,
        max_length=identity.max_length,
        dtype=identity.logits_dtype,
        fingerprint=identity.fingerprint,
        pin=cache.pin,
        about="\n".join(f"- {plain(name)}: {plain(about[name])}" for name in sorted(about)),
    )
    return f"---\n{data.to_yaml()}\n---\n{prose}"


def _configs(cache: Cache) -> list[dict[str, Any]]:
    """List the files one by one: a pattern would pick up shards that no seal names."""
    configs = [_config("pairs", cache.pair_records)] if cache.pair_records else []
    configs.append(_config("originals", cache.seal.records("originals")))
    if cache.header.shard_format == "arrow":
        files = [{"split": name, "path": f"examples/{name}.arrow"} for name in cache.splits]
        configs.append({"config_name": "examples", "data_files": files})
    return configs


def _config(name: str, records: Sequence[Record]) -> dict[str, Any]:
    files = [{"split": "train", "path": [record.file for record in records]}]
    return {"config_name": name, "data_files": files}


def _labels(names: Sequence[str]) -> str:
    shown = ", ".join(map(plain, names[:LABELS_SHOWN])) or "a number (regression)"
    more = len(names) - LABELS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{plain(name)} {value:.4f}" for name, value in sorted(scores.items()))
