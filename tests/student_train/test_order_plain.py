"""The order against a plain version of itself, over sizes, seeds and batch sizes."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixkd.student_train.order import Order
from tests.student_train.plain_order import Step, check_once_each, steps

SEARCH = settings(derandomize=True, deadline=None, database=None, max_examples=60)
EPOCHS = 3


def length(row: int) -> int:
    """Of a train id: few values, so that many rows are equally long."""
    return 1 + row * 7 % 5


def pair_length(row: int) -> int:
    return 1 + row * 11 % 6


def read(order: Order, epochs: int) -> list[Step]:
    """The global batches as the order itself gives them."""
    found: list[Step] = []
    for epoch in range(epochs):
        for index in range(order.windows_per_epoch):
            window = order.window(epoch, index)
            batches = order.batches(
                window,
                np.array([length(row) for row in window.originals]),
                np.array([pair_length(row) for row in window.pairs], np.int64),
            )
            found += [
                [window.originals[originals].tolist(), window.pairs[pairs].tolist()]
                for originals, pairs in batches
            ]
    return found


def order_of(
    examples: int, sizes: list[int], batch_size: int, mix_ratio: float, seed: int
) -> Order:
    stops = np.cumsum([0, *sizes]).tolist()
    return Order(examples, tuple(itertools.pairwise(stops)), batch_size, mix_ratio, seed)


@SEARCH
@given(
    examples=st.integers(1, 300),
    sizes=st.lists(st.integers(1, 60), max_size=6),
    batch_size=st.sampled_from([1, 2, 7, 64]),
    mix_ratio=st.sampled_from([0, 0.1, 0.5, 1, 1.3, 4]),
    seed=st.integers(0, 2**63 - 1),
)
@example(examples=1, sizes=[1], batch_size=1, mix_ratio=1, seed=2**63 - 1)
@example(examples=128, sizes=[64, 64], batch_size=1, mix_ratio=1, seed=0)
@example(examples=65, sizes=[1, 1, 1], batch_size=1, mix_ratio=4, seed=0)
def test_the_order_is_that_of_the_plain_version(
    examples: int, sizes: list[int], batch_size: int, mix_ratio: float, seed: int
) -> None:
    order = order_of(examples, sizes, batch_size, mix_ratio, seed)
    found = read(order, EPOCHS)
    assert found == steps(order, EPOCHS, length, pair_length)
    check_once_each(order, found, EPOCHS)


def test_every_small_size_once_each() -> None:
    """The borders of batches and windows lie among these."""
    for examples in range(1, 201):
        for batch_size in (1, 7, 64):
            order = order_of(examples, [5, 16, 16], batch_size, 1.3, seed=examples)
            check_once_each(order, read(order, 2), 2)
