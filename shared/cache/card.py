"""The cache's README.md: a data set card for people and for the Hub."""

from __future__ import annotations

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.seal import Record


def card(cache: Cache) -> str:
    """The card's text; the same for the same seal.

    The YAML lists shard files one by one: a pattern would pick up files that no seal names.
    """
    identity, seal, about = cache.identity, cache.seal, cache.about
    rows = "\n".join(
        f"| {split.name} | {split.rows} | {_scores(seal.scores[split.name])} |"
        for split in identity.splits
    )
    labels = ", ".join(identity.label_names) or "a number (regression)"
    facts = "\n".join(f"- {name}: {about[name]}" for name in sorted(about))
    return f"""---
tags:
- mixkd
- knowledge-distillation
task_categories:
- text-classification
configs:
{_configs(cache)}---

# Teacher logits: {about.get("task", cache.root.name)}

Raw logits of one teacher on {seal.originals} examples and on {seal.pairs} mixup pairs of them,
in the mixkd cache format 1. Train a student from it, without the teacher, with
`train-student --cache DIR`; check it with `cache-teacher verify DIR`.

| split | rows | teacher |
|---|---|---|
{rows}

- labels: {labels}
- mix: Beta({identity.beta:g}, {identity.beta:g}), mask {identity.mask}, seed {identity.seed}
- longest input: {identity.max_length} tokens
- logits: {identity.logits_dtype}
- fingerprint: `{identity.fingerprint}`
- seal: `{seal.digest}`
{facts}
"""


def _configs(cache: Cache) -> str:
    text = _config("pairs", cache.pair_records) if cache.pair_records else ""
    text += _config("originals", cache.seal.records("originals"))
    if cache.pair_records and cache.pair_records[0].shard_format == "hdf5":
        return text
    splits = "".join(
        f"  - split: {split.name}\n    path: examples/{split.name}.arrow\n"
        for split in cache.identity.splits
    )
    return f"{text}- config_name: examples\n  data_files:\n{splits}"


def _config(name: str, records: tuple[Record, ...]) -> str:
    paths = "".join(f"    - {record.file}\n" for record in records)
    return f"- config_name: {name}\n  data_files:\n  - split: train\n    path:\n{paths}"


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in sorted(scores.items()))
