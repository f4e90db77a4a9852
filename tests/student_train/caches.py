"""Caches in miniature, made by the real builder with a real tiny teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mixkd.shared.cache.starts import start_name
from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.mixup import MaskRule
from mixkd.shared.models.checkpoint import checkpoint_sha256
from mixkd.shared.models.locate import Checkpoint, locate
from mixkd.shared.models.tokenizer import load_tokenizer, tokenizer_files
from mixkd.teacher_cache.starts import choose_starts, student_start
from mixkd.teacher_cache.teacher import Teacher
from tests import caches
from tests.miniature import label_names, read_texts, tiny_data


def make_cache(
    root: Path,
    teacher: Path,
    *,
    rows: int = 40,
    classes: int = 2,
    two_texts: bool = False,
    pairs: int = 100,
    shard_rows: int = 32,
    mask: MaskRule = "union",
    text: bool = True,
    shard_format: str = "arrow",
    starts: tuple[int | tuple[int, ...], ...] = (1,),
    data_seed: int = 0,
    names: tuple[str, ...] | None = None,
    labelled: int | None = None,
) -> Path:
    """Build and seal a cache of `tiny_data`; returns its folder.

    Args:
        labelled: Train rows that keep their label, the last ones; None: all.
    """
    data = tiny_data(root.parent / f"data-{root.name}", rows, classes, two_texts, seed=data_seed)
    checkpoint = locate(str(teacher))
    examples = {
        split: read_examples(checkpoint, data / f"{split}.tsv", classes)
        for split in ("train", "validation")
    }
    if labelled is not None:
        examples["train"] = only_some_labels(examples["train"], labelled)
    model = Teacher.load(checkpoint, tuple(range(classes)), mask=mask, max_length=64, device="cpu")
    saved = tokenizer_files(load_tokenizer(checkpoint))
    files = {f"tokenizer/{name}": data for name, data in saved.items()}
    for layers in choose_starts(model.model, starts, ["first"]):
        for name, content in student_start(model.model, layers).items():
            files[f"student_init/{start_name(layers)}/{name}"] = content
    made = caches.job(
        root,
        examples,
        classes=classes,
        pairs=pairs,
        shard_format=shard_format,
        shard_rows=shard_rows,
        about={"task": "tiny", "teacher": teacher.name},
        files=files,
        keep_texts=text,
        batch_tokens=512,
        pad_id=model.pad_id,
        label_names=names or (() if classes == 1 else label_names(classes)),
        teacher_sha256=checkpoint_sha256(checkpoint),
        max_length=64,
        mask=mask,
    )
    return caches.build_sealed(made, model.score)


def only_some_labels(examples: Examples, labelled: int) -> Examples:
    """Examples of which the last ones alone have their labels."""
    labels = examples.labels.copy()
    labels[: len(labels) - labelled] = np.nan if labels.dtype == np.float32 else -1
    return replace(examples, labels=labels)


def read_examples(checkpoint: Checkpoint, file: Path, classes: int) -> Examples:
    """A split as the build tokenises it."""
    texts, labels = read_texts(file)
    tokenizer = load_tokenizer(checkpoint)
    encoded: Any = tokenizer(*texts, truncation=True, max_length=64)
    types = encoded.get("token_type_ids")
    return Examples(
        input_ids=Ragged.from_rows(encoded["input_ids"], np.int32),
        token_type_ids=None if types is None else Ragged.from_rows(types, np.int8),
        labels=np.asarray(labels, np.float32 if classes == 1 else np.int64),
        text_a=pa.array(texts[0]),
        text_b=pa.array(texts[1]) if len(texts) > 1 else None,
    )
