"""The check that matters most: stored logits are those of a plain, slow reference.

The reference below knows nothing of the project's mixing, batching or shards: it looks one pair up
in the teacher's own tables, interpolates, and asks the model, one pair at a time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from mixkd.shared.cache.codecs.base import columns_equal
from mixkd.shared.cache.reader import Cache
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache
from tests.miniature import WITHOUT_TYPES, label_names, tiny_data, tiny_teacher

TOLERANCE = 1e-4
PAIRS = 60


def reference(
    model: torch.nn.Module, left: dict[str, list[int]], right: dict[str, list[int]], lam: float
) -> np.ndarray:
    """The model's logits on one mix, with the union of both masks: float32 [C]."""
    width = max(len(left["ids"]), len(right["ids"]))
    pad = model.config.pad_token_id
    embedded = []
    for side in (left, right):
        missing = width - len(side["ids"])
        word = model.get_input_embeddings()(torch.tensor(side["ids"] + [pad] * missing))
        if side["types"] is not None:
            table = model.base_model.embeddings.token_type_embeddings
            word = word + table(torch.tensor(side["types"] + [0] * missing)) - table.weight[0]
        embedded.append(word)
    mixed = lam * embedded[0] + (1 - lam) * embedded[1]
    with torch.no_grad():
        return model(inputs_embeds=mixed[None]).logits[0].numpy()


def row(cache: Cache, number: int) -> dict[str, list[int]]:
    train = cache.examples()
    types = train.token_type_ids
    return {
        "ids": train.input_ids[number].tolist(),
        "types": None if types is None else types[number].tolist(),
    }


@pytest.mark.parametrize("shard_format", ["arrow", "hdf5"])
@pytest.mark.parametrize(
    ("family", "classes", "two_texts"),
    [("bert", 2, True), ("mpnet", 3, False), ("distilbert", 1, True), ("electra", 5, False)],
)
def test_stored_logits_are_those_of_the_reference(
    tmp_path: Path, family: str, classes: int, two_texts: bool, shard_format: str
) -> None:
    problem = "regression" if classes == 1 else "single_label_classification"
    teacher = tiny_teacher(tmp_path / "teacher", family, label_names(classes), problem, seed=3)
    data = tiny_data(tmp_path / "data", 30, classes, two_texts, seed=4)
    build_cache(
        BuildOptions(
            task="tiny",
            pairs=PAIRS,
            teacher=str(teacher),
            data=str(data),
            out=tmp_path / "cache",
            format=shard_format,
            shard_rows=17,
            batch_tokens=100,
            dtype="float32",
            min_teacher_score=0.0,
            seed=5,
        )
    )
    cache = Cache.open(tmp_path / "cache")
    model = AutoModelForSequenceClassification.from_pretrained(teacher).eval()
    assert (cache.examples().token_type_ids is None) == (family in WITHOUT_TYPES)
    compared = 0
    for record in cache.pair_records:
        columns = cache.read(record)
        for place in range(record.stop - record.start):
            left, right = int(columns["left"][place]), int(columns["right"][place])
            lam = float(columns["lam"][place])
            expected = reference(model, row(cache, left), row(cache, right), lam)
            np.testing.assert_allclose(
                columns["logits"][place], expected, rtol=TOLERANCE, atol=TOLERANCE
            )
            compared += 1
    assert compared == PAIRS
    for number, logits in enumerate(cache.logits("train")):
        expected = reference(model, row(cache, number), row(cache, number), 1.0)
        np.testing.assert_allclose(logits, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_both_formats_hold_the_same_rows(tmp_path: Path, good_teacher: Path, data: Path) -> None:
    for shard_format in ("arrow", "hdf5"):
        build_cache(
            BuildOptions(
                task="tiny",
                pairs=150,
                teacher=str(good_teacher),
                data=str(data),
                out=tmp_path / shard_format,
                format=shard_format,
                shard_rows=64,
                logits_dtype="float16",
            )
        )
    arrow, hdf5 = (Cache.open(tmp_path / name) for name in ("arrow", "hdf5"))
    assert arrow.identity == hdf5.identity
    assert arrow.seal.scores == hdf5.seal.scores
    assert len(arrow.seal.shards) == len(hdf5.seal.shards) == 2 + 3
    for left, right in zip(arrow.seal.shards, hdf5.seal.shards, strict=True):
        assert left.file.endswith(".arrow")
        assert right.file.endswith(".h5")
        assert columns_equal(arrow.read(left), hdf5.read(right))
