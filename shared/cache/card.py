"""The cache's README.md: a data set card for people and for the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixkd.shared.cache.header import Identity, labelled_note
from mixkd.shared.cache.loadable import rows_path
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Record
from mixkd.shared.cards import hub_id, labels_line, languages, licence_fields, size_category
from mixkd.shared.markdown import listed, plain
from mixkd.shared.metrics import CLASSIFICATION, MULTI_LABEL, REGRESSION

PROSE = """
# {task}: a teacher's logits

Raw logits of one fine-tuned model, the teacher, on {originals:,} examples and on {pairs:,} mixup
pairs of them, in the cache format 1 of mixkd. A student is trained from it without the teacher, and
without a network.

| split | examples | the teacher's scores |
|---|---|---|
{rows}

## Loading

Replace `PATH` by this folder, or by this data set's id on the Hub:

```python
from datasets import load_dataset

rows = load_dataset("PATH")  # {splits}: {columns}
{pairs_line}
```

{configs}

With mixkd, what is read is checked against the digests of the seal:

```python
from mixkd import Cache

rows = Cache.open("PATH").to_dataset("train")
```

```sh
train-student --cache PATH
cache-teacher verify PATH
```

## Columns

- `label`: {label}{kept}
- `teacher_logits`, `logits`: {classes} raw output{s} of the teacher per row, one per class in the
  order of the labels, without softmax or temperature. The cache has them in {dtype}.
- `left`, `right`: the two examples of a pair, as row numbers of train, from 0.
- `lam`: the weight of the left side. The teacher was given `lam * e(left) + (1 - lam) * e(right)`,
  where `e` are its input embeddings; the label of the pair is mixed in the same way.
- `split`, in `originals`: {split_codes}.
- `example`, in `originals`: the row number within its split, from 0.

## What is in it

- labels, in the order of their numbers: {labels}
- mixup: lam ~ Beta({beta:g}, {beta:g}), mask {mask}, seed {seed}
- longest input: {max_length} tokens
- size: {size_mib:.1f} MiB without `rows/`
{facts}

## Before you share it

{warning}
{licence}

## Naming exactly this cache

Digests of all files are in `MANIFEST.json`, and `sha256sum MANIFEST.json` prints the digest of the
whole, the pin:

- pin: `{pin}`
- fingerprint of the examples, the teacher and the settings: `{fingerprint}`

`Cache.open("PATH", pin="{short_pin}…")`, with all its digits, opens exactly this and nothing
else. `rows/` and this page are there for convenience and are covered by no digest;
`cache-teacher verify` compares them with the rest.
"""
WARNING = {
    True: "**It contains the source texts**, in `rows/`, in `examples/` and as token ids.",
    False: "**It contains the source texts as token ids**: the tokenizer beside them decodes ids "
    "to text.\nThe texts themselves were left out, which makes a cache smaller, not anonymous.",
}
TASK_IDS = {
    MULTI_LABEL: ["multi-label-classification"],
    REGRESSION: ["text-scoring"],
}
FURTHER = "\nIt has further columns of the data too, in `rows/` and `columns/`."
TOLD = ("license", "data_license")  # elsewhere in the card
# What the tools write into `about`, in the card's order.
NAMES = {
    "task": "task",
    "teacher": "teacher",
    "teacher_revision": "revision of the teacher",
    "data": "data",
    "data_config": "configuration of the data",
    "data_revision": "revision of the data",
    "data_version": "version of the data",
    "subset": "part of the train rows that was used",
    "held_out": "rows held out of train for validation",
    "unlabelled": "rows added to train without labels",
    "augmented": "rows added to train that come from other rows",
    "logits_kind": "what was given",
    "tokenizer": "tokenizer",
    "tokenizer_revision": "revision of the tokenizer",
    "language": "language",
    "data_language": "language of the data",
    "author": "author of this cache",
    "dtype_difference": "largest difference of a logit from float32's, in a sample",
}
ORDER = {name: number for number, name in enumerate(NAMES)}


def card(cache: Cache) -> str:
    """Return the card's text; the same for the same seal."""
    from huggingface_hub import DatasetCardData

    identity, about = cache.identity, cache.about
    source = hub_id(about.get("data"), about.get("data_revision"))
    task = about.get("task", cache.root.name)
    licence = licence_fields(about.get("license"), about.get("data_license"))
    known: dict[str, Any] = {
        "language": languages(about.get("language", about.get("data_language"))) or None,
        "source_datasets": [source] if source else None,
    }
    data = DatasetCardData(
        **licence,
        **known,
        task_categories=["text-classification"],
        task_ids=TASK_IDS.get(identity.problem_type),
        size_categories=[size_category(cache.seal.rows.originals)],
        tags=["mixkd", "knowledge-distillation"],
        configs=_configs(cache),
    )
    return f"---\n{data.to_yaml()}\n---\n{_prose(cache, task)}"


def _prose(cache: Cache, task: object) -> str:
    identity, seal, about = cache.identity, cache.seal, cache.about
    beta, arrow = identity.mixup.beta, cache.header.shard_format == "arrow"
    texts = [name for name, column in cache.examples().columns().items() if column is not None]
    has_texts = "text_a" in texts
    kept = [column.name for column in cache.header.columns]
    texts = [name for name in texts if name.startswith("text_") == has_texts and name != "label"]
    return PROSE.format(
        task=plain(task),
        originals=seal.rows.originals,
        pairs=seal.rows.pairs,
        rows="\n".join(
            f"| {split.name} | {split.rows:,}{labelled_note(split.rows, split.labelled)} "
            f"| {_scores(seal.scores.get(split.name, {}))} |"
            for split in identity.splits
        ),
        splits=", ".join(cache.splits),
        columns=", ".join([*texts, "label", *["further columns"] * bool(kept), "teacher_logits"]),
        pairs_line=_pairs_line(cache, arrow),
        configs=_configs_prose(arrow),
        label=_label(identity),
        kept=f"\n- further columns of the data: {listed(kept)}" if kept else "",
        classes=identity.classes,
        s="s" * (identity.classes > 1),
        dtype=identity.logits_dtype,
        split_codes=", ".join(f"{k} is {split.name}" for k, split in enumerate(identity.splits)),
        labels=labels_line(identity.label_names, identity.problem_type),
        beta=beta,
        mask=identity.mixup.mask,
        seed=identity.mixup.seed,
        max_length=identity.max_length,
        size_mib=_size_bytes(cache) / 2**20,
        facts="\n".join(
            f"- {NAMES.get(name, plain(name))}: {_shown(about[name])}"
            for name in sorted(about, key=lambda name: (ORDER.get(name, len(ORDER)), name))
            if name not in TOLD
        ),
        warning=WARNING[has_texts] + FURTHER * bool(kept),
        licence=_licence(about),
        pin=cache.pin,
        short_pin=cache.pin[:12],
        fingerprint=identity.fingerprint,
    )


def _pairs_line(cache: Cache, arrow: bool) -> str:
    if not cache.pair_records:
        return "# this cache has no mixup pairs"
    if arrow:
        return 'pairs = load_dataset("PATH", "pairs", split="train")  # left, right, lam, logits'
    return 'pairs = load_dataset("hdf5", data_files="PATH/data/pairs-*.h5")  # left, right, …'


def _configs_prose(arrow: bool) -> str:
    if arrow:
        return (
            "`originals` and `examples` are further configurations: the logits alone, and texts "
            "with token ids.\n`rows/` are Feather files too, which `pandas.read_feather` and "
            "`polars.read_ipc` read; for other tools,\n"
            '`rows["train"].to_parquet("train.parquet")`.'
        )
    return (
        "The shards are HDF5 files, which the library cannot list beside `rows/`.\n`rows/` are "
        "Feather files too, which `pandas.read_feather` and `polars.read_ipc` read; for other "
        'tools,\n`rows["train"].to_parquet("train.parquet")`.'
    )


def _configs(cache: Cache) -> list[dict[str, Any]]:
    """List the files one by one: a pattern would pick up shards that no seal names.

    The library opens all configurations with the reader of the first one's files, so those of an
    HDF5 cache have the first one only.
    """
    files = [{"split": name, "path": rows_path(name)} for name in cache.splits]
    configs: list[dict[str, Any]] = [
        {"config_name": "default", "data_files": files, "default": True}
    ]
    if cache.header.shard_format == "arrow":
        if cache.pair_records:
            configs.append(_config("pairs", cache.pair_records))
        configs.append(_config("originals", cache.seal.records("originals")))
        files = [{"split": name, "path": f"examples/{name}.arrow"} for name in cache.splits]
        configs.append({"config_name": "examples", "data_files": files})
    return configs


def _config(name: str, records: Sequence[Record]) -> dict[str, Any]:
    files = [{"split": "train", "path": [record.file for record in records]}]
    return {"config_name": name, "data_files": files}


def _label(identity: Identity) -> str:
    one = f"a `ClassLabel` of {identity.classes} classes, numbered from 0"
    every, none = {
        CLASSIFICATION: (one, "-1"),
        MULTI_LABEL: (f"a list, of any length, of {one}", "null"),
        REGRESSION: ("a number", "NaN"),
    }[identity.problem_type]
    some = any(split.labelled < split.rows for split in identity.splits)
    return every + f"; {none} where a row of train has none" * some


def _licence(about: Any) -> str:
    """Say what is known of licences, and what is not."""
    if "license" in about or "data_license" in about:
        kinds = {"license": "this cache", "data_license": "the data it was made from"}
        told = [f"of {of}: {plain(about[key])}" for key, of in kinds.items() if key in about]
        return f"Licence {'; '.join(told)}."
    return "The licence of the data is not known here: ask whoever published them."


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else plain(value)


def _size_bytes(cache: Cache) -> int:
    seal = cache.seal
    shards, files = seal.shards, seal.files
    return sum(r.size_bytes for r in shards) + sum(f.size_bytes for f in files)


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{plain(name)} {value:.4f}" for name, value in sorted(scores.items()))
