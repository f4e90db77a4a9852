"""Runs on caches whose train rows have few labels, or none."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import UsageError
from mixkd.student_train.batches import batches
from mixkd.student_train.objective.terms import PRESETS, Objective
from mixkd.student_train.train import train
from tests.student_train.test_batches import order_of, source_of
from tests.student_train.test_train import options, weights


def losses_of(cache: Path, out: Path, **changes: object) -> list[Mapping[str, float]]:
    """The terms of each step."""
    found: list[Mapping[str, float]] = []
    train(options(cache, out, epochs=1, **changes), lambda step, means: found.append(means))
    return found


def test_a_few_labels_train(
    few_labels_cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Eight labelled rows in 20 batches: most have none, and count 0 without NaN."""
    with caplog.at_level(logging.INFO):
        found = losses_of(few_labels_cache, tmp_path / "out", batch_size=2)
    assert len(found) == 20
    assert 4 <= sum(step["mle"] > 0 for step in found) <= 8
    assert all(step["tmkd"] > 0 for step in found)
    said = "8 of 40 train examples have a label; mle and sm see labelled rows alone"
    assert f"{said}, and of the mixes those of two: about 4%" in caplog.messages


def test_where_labels_are_all_that_is_learnt_an_epoch_is_a_pass_over_them(
    few_labels_cache: Path, tmp_path: Path
) -> None:
    found = losses_of(few_labels_cache, tmp_path / "out", method="ft", batch_size=2)
    assert len(found) == 4
    assert all(step["mle"] > 0 for step in found)


def test_rows_that_nothing_is_learnt_from_are_left_out_of_the_batch(
    few_labels_cache: Path,
) -> None:
    """And change no loss: mixkd looks at originals for their labels alone."""
    whole = source_of(few_labels_cache)
    order = order_of(whole)
    lean = replace(whole, labels_only=Objective(PRESETS["mixkd"]).labels_only)
    for full, less in zip(
        batches(whole, order, 0, 0, 0, 1), batches(lean, order, 0, 0, 0, 1), strict=True
    ):
        assert (less.counts, less.labelled_counts) == (full.counts, full.labelled_counts)
        assert less.rows["originals"] == full.labelled_counts["originals"]
        assert less.rows["mixes"] == full.rows["mixes"]
        assert less.targets.sum() == pytest.approx(full.targets.sum())


def test_no_labels_leave_the_teachers_terms(
    no_labels_cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left of kd is its distance, as if its labels' weight were 0."""
    assert "train" not in Cache.open(no_labels_cache).seal.scores
    with caplog.at_level(logging.INFO):
        (step, *_) = losses_of(no_labels_cache, tmp_path / "kd", method="kd")
    assert set(step) == {"loss", "kd"}
    assert "no train example has a label: this run goes without mle" in caplog.messages
    (step, *_) = losses_of(no_labels_cache, tmp_path / "mixkd")
    assert set(step) == {"loss", "tmkd"}


def test_the_distance_alone_is_the_same_with_and_without_labels(
    cache: Path, no_labels_cache: Path, tmp_path: Path
) -> None:
    losses_of(no_labels_cache, tmp_path / "without", method="kd")
    losses_of(cache, tmp_path / "with", method="kd", weights={"mle": 0})
    left, right = weights(tmp_path / "without"), weights(tmp_path / "with")
    assert all((left[name] == right[name]).all() for name in left)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "ft"}, "train examples with labels, which --method ft needs, found none"),
        ({"method": "sm"}, "--method sm needs, .*; use a method that learns from the teacher: --m"),
        ({"weights": {"sm": 0.5}}, "which --alpha-sm needs, found none that has one; leave it out"),
    ],
)
def test_what_needs_labels_is_refused_where_there_are_none(
    no_labels_cache: Path, tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        train(options(no_labels_cache, tmp_path / "out", **changes))
    assert not (tmp_path / "out" / "metrics.json").exists()
