"""From the order to padded batches: every row once, the same for all numbers of processes."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DifferentCacheError
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.shared.plan import pairs as planned
from mixkd.student_train.batches import Batch, Source, batches
from mixkd.student_train.joined import JoinedPairs, check_same
from mixkd.student_train.order import Order
from tests.student_train.caches import make_cache


def source_of(root: Path) -> Source:
    cache = Cache.open(root)
    return Source(cache.examples(), cache.logits("train"), JoinedPairs([cache]), CLASSIFICATION, 0)


def order_of(source: Source, batch_size: int = 7, mix_ratio: float = 1.5) -> Order:
    return Order(len(source.examples), source.pairs.shards, batch_size, mix_ratio, seed=3)


def keys(batch: Batch) -> list[tuple[bytes, bytes, float]]:
    """Each counted row as (left ids, right ids, lam)."""
    inputs = batch.inputs
    rows = sum(batch.rows.values())
    return [
        (
            inputs.left_ids[row][inputs.left_mask[row] == 1].tobytes(),
            inputs.right_ids[row][inputs.right_mask[row] == 1].tobytes(),
            float(inputs.lam[row]),
        )
        for row in range(rows)
    ]


def test_rows_of_any_order_are_those_of_the_plan(cache: Path) -> None:
    opened = Cache.open(cache)
    numbers = np.random.default_rng(0).permutation(100)[:60]
    found = JoinedPairs([opened]).rows(numbers)
    expected = planned(0, 100, examples=40, seed=0, beta=0.4)
    assert np.array_equal(found.left, expected.left[numbers])
    assert np.array_equal(found.right, expected.right[numbers])
    assert np.array_equal(found.lam, expected.lam[numbers])


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_the_global_batches_do_not_depend_on_the_number_of_processes(
    cache: Path, world: int
) -> None:
    source = source_of(cache)
    order = order_of(source)
    alone = list(batches(source, order, 1, 0, 0, 1))
    parts = [list(batches(source, order, 1, 0, rank, world)) for rank in range(world)]
    assert {len(part) for part in parts} == {order.steps_per_epoch}
    for step, whole in enumerate(alone):
        together = [key for part in parts for key in keys(part[step])]
        assert Counter(together) == Counter(keys(whole))
        assert {tuple(part[step].counts.items()) for part in parts} == {tuple(whole.counts.items())}
        assert all(len(part[step].targets) for part in parts)


def test_a_resumed_epoch_gives_the_rest(cache: Path) -> None:
    source = source_of(cache)
    order = order_of(source, batch_size=1, mix_ratio=1)
    whole = [keys(batch) for batch in batches(source, order, 0, 0, 0, 1)]
    for done in (0, 1, 17, 39, 40):
        assert [keys(batch) for batch in batches(source, order, 0, done, 0, 1)] == whole[done:]


def test_a_process_without_rows_gets_one_that_does_not_count(cache: Path) -> None:
    source = source_of(cache)
    order = order_of(source, batch_size=1, mix_ratio=0)
    batch = next(batches(source, order, 0, 0, 1, 2))
    assert batch.rows == {"originals": 0, "mixes": 0}
    assert batch.counts == {"originals": 1, "mixes": 0}
    assert batch.targets.shape == (1, 2)


def test_originals_are_mixes_with_themselves_and_targets_are_mixed(cache: Path) -> None:
    source = source_of(cache)
    batch = next(batches(source, order_of(source), 0, 0, 0, 1))
    cut = batch.rows["originals"]
    assert np.array_equal(batch.inputs.left_ids[:cut], batch.inputs.right_ids[:cut])
    assert (batch.inputs.lam[:cut] == 1).all()
    assert set(np.unique(batch.targets[:cut])) == {0, 1}
    assert batch.targets.sum(axis=1) == pytest.approx(1)
    assert batch.teacher.dtype == np.float32


def test_two_caches_are_averaged_across_other_shards(
    cache: Path, good_teacher: Path, folder: Path
) -> None:
    other = make_cache(folder / "shards-of-7", good_teacher, shard_rows=7, shard_format="hdf5")
    first, second = Cache.open(cache), Cache.open(other)
    check_same([first, second])
    numbers = np.arange(99, -1, -3)
    mean = JoinedPairs([first, second]).rows(numbers).logits
    one, two = (JoinedPairs([opened]).rows(numbers).logits for opened in (first, second))
    assert mean == pytest.approx((one + two) / 2, abs=1e-6)


def test_caches_of_other_examples_or_pairs_are_refused(
    cache: Path, cache_without_pairs: Path, good_teacher: Path, folder: Path
) -> None:
    first = Cache.open(cache)
    with pytest.raises(
        DifferentCacheError, match="number of pairs of the first cache, 100, found 0"
    ):
        check_same([first, Cache.open(cache_without_pairs)])
    other = make_cache(folder / "other-data", good_teacher, data_seed=7)
    with pytest.raises(DifferentCacheError, match="splits of the first cache"):
        check_same([first, Cache.open(other)])


def test_few_shards_are_held(cache: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    shutil.copytree(cache, root)
    opened = Cache.open(root)
    pairs = JoinedPairs([opened])
    for start in range(0, 100, 10):
        pairs.rows(np.arange(start, start + 10))
    assert pairs._readers[0].cache_info().currsize <= 4


@pytest.mark.parametrize("world", [1, 3])
def test_a_row_is_labelled_if_both_of_its_sides_are(few_labels_cache: Path, world: int) -> None:
    source = source_of(few_labels_cache)
    has_label = {
        source.examples.input_ids[row].astype(np.int64).tobytes(): row >= 32 for row in range(40)
    }
    for step in zip(
        *(batches(source, order_of(source), 0, 0, rank, world) for rank in range(world)),
        strict=True,
    ):
        totals = {"originals": 0, "mixes": 0}
        for batch in step:
            expected = [has_label[left] and has_label[right] for left, right, _ in keys(batch)]
            rows = len(expected)
            assert batch.labelled[:rows].tolist() == expected
            assert not batch.targets[~batch.labelled].any()
            assert batch.targets[batch.labelled].sum(axis=1) == pytest.approx(1)
            cut = batch.rows["originals"]
            totals["originals"] += sum(expected[:cut])
            totals["mixes"] += sum(expected[cut:])
        assert all(batch.labelled_counts == totals for batch in step)


def test_numbers_that_are_not_there_are_zero(good_regression_teacher: Path, tmp_path: Path) -> None:
    shape = {"classes": 1, "two_texts": True, "labelled": 8, "pairs": 32}
    root = make_cache(tmp_path / "numbers", good_regression_teacher, **shape)
    opened = Cache.open(root)
    source = Source(opened.examples(), opened.logits("train"), JoinedPairs([opened]), REGRESSION, 0)
    found = list(batches(source, order_of(source), 0, 0, 0, 1))
    assert all(np.isfinite(batch.targets).all() for batch in found)
    assert sum(batch.labelled_counts["originals"] for batch in found) == 8
