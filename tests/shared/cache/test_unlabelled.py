"""Caches whose train rows have no label: what is counted, scored, shown and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixkd.shared.cache.facts import cache_facts
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import AlignmentError, MalformedError, UsageError
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import metrics
from tests import caches
from tests.hostile.sign import sign
from tests.numpy_caches import LONGEST, Scorer, examples


def made(root: Path, labelled: int, classes: int = 2) -> Path:
    """30 train examples, of which the first have a label, 12 for validation, 20 pairs."""
    splits = {
        "train": cut(examples(30, 1, classes), labelled),
        "validation": examples(12, 2, classes),
    }
    job = caches.job(root, splits, classes=classes, pairs=20, max_length=LONGEST)
    return caches.build_sealed(job, Scorer(classes))


def cut(rows: Examples, labelled: int) -> Examples:
    labels = rows.labels.copy()
    labels[labelled:] = np.nan if labels.dtype == np.float32 else -1
    return replace(rows, labels=labels)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_scores_of_train_are_over_its_labelled_rows(tmp_path: Path, classes: int) -> None:
    cache = Cache.open(made(tmp_path / "cache", 9, classes))
    train, logits = cache.examples(), cache.logits()
    assert train.labelled.tolist() == [True] * 9 + [False] * 21
    problem_type = cache.identity.problem_type
    assert cache.seal.scores["train"] == metrics(logits[:9], train.labels[:9], problem_type)
    assert cache.check_alignment() == cache.seal.scores
    assert verify_cache(cache.root) == []
    assert "30 train (9 labelled), 12 validation" in repr(cache)
    facts = cache_facts(cache)
    assert facts.to_json()["labelled"] == {"train": 9, "validation": 12}
    assert "examples     30 train (9 labelled), 12 validation; " in "\n".join(facts.lines())


def test_a_train_without_labels_has_no_scores(tmp_path: Path) -> None:
    root = made(tmp_path / "cache", 0)
    cache = Cache.open(root)
    assert set(cache.seal.scores) == set(cache.check_alignment()) == {"validation"}
    assert verify_cache(root) == []
    assert "| train | 30 (0 labelled) |  |" in (root / "README.md").read_text(encoding="utf-8")
    sign(root, edit=lambda seal: seal["scores"].update(train=seal["scores"]["validation"]))
    with pytest.raises(AlignmentError, match="a sealed accuracy of validation, found one of train"):
        Cache.open(root)


def test_validation_is_fully_labelled(tmp_path: Path) -> None:
    root = made(tmp_path / "cache", 9)
    bad = cut(examples(12, 2), 11)
    sign(root, {"examples/validation.arrow": bad.to_bytes()})
    with pytest.raises(MalformedError, match="expected 12 examples with a label, of 12"):
        Cache.open(root).examples("validation")
    splits = {"train": examples(30, 1), "validation": bad}
    draft = caches.job(tmp_path / "other", splits, max_length=LONGEST).draft
    with pytest.raises(UsageError, match="validation with 12 labelled rows, found 11"):
        draft.check("other", 20)
