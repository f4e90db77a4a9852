"""The mix against its definition, spelled out position by position; the probe against stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mixkd.shared.errors import PaddingDependentError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import InputEmbeddings, MaskRule, MixBatch, mix, mixed_inputs, mixed_mask
from mixkd.shared.models.probe import probe, probe_rows, relative_difference
from tests.numpy_caches import examples, pair_table

PAD, WIDTH = 0, 4
CHOOSE = np.random.default_rng(0)
WORDS = CHOOSE.normal(size=(100, WIDTH)).astype(np.float32)
TYPES = CHOOSE.normal(size=(2, WIDTH)).astype(np.float32)


class Table:
    """Rows of a matrix by number, as a model's embedding gives them."""

    def __init__(self, weight: npt.NDArray[np.float32]) -> None:
        self.weight = weight

    def __call__(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return self.weight[ids]


EMBEDDINGS = InputEmbeddings(word=Table(WORDS), token_type=Table(TYPES))


def example_embeddings(made: Examples, row: int, width: int) -> npt.NDArray[np.float32]:
    """Type 0 of a model that adds it itself is left out; padding has type 0."""
    assert made.token_type_ids is not None
    ids, types = made.input_ids[row].tolist(), made.token_type_ids[row].tolist()
    padded = zip(ids + [PAD] * (width - len(ids)), types + [0] * (width - len(types)), strict=True)
    return np.stack([WORDS[i] + (TYPES[1] - TYPES[0] if t else 0) for i, t in padded])


@pytest.mark.parametrize("rule", ["union", "heavier"])
def test_inputs_follow_the_definition(rule: MaskRule) -> None:
    made = examples(20, types=True)
    left, right = np.array([0, 1, 2, 3, 4]), np.array([5, 6, 7, 3, 9])
    lam = np.array([0.3, 0.5, 0.9, 1, 0], np.float32)
    inputs = mixed_inputs(EMBEDDINGS, made.mixes(pair_table(left, right, lam), PAD), rule)
    width = int(max(made.lengths[left].max(), made.lengths[right].max()))
    assert inputs["inputs_embeds"].shape == (5, width, WIDTH)
    assert inputs["inputs_embeds"].dtype == np.float32
    for b in range(5):
        sides = [example_embeddings(made, row, width) for row in (left[b], right[b])]
        expected = lam[b] * sides[0] + (1 - lam[b]) * sides[1]
        np.testing.assert_allclose(inputs["inputs_embeds"][b], expected, atol=1e-6)
        lengths = made.lengths[left[b]], made.lengths[right[b]]
        seen = max(lengths) if rule == "union" else lengths[0 if lam[b] >= 0.5 else 1]
        assert inputs["attention_mask"][b].tolist() == [1] * seen + [0] * (width - seen)


def test_an_original_is_the_mix_of_itself() -> None:
    made = examples(8, types=True)
    batch = made.originals(range(8), PAD)
    inputs = mixed_inputs(EMBEDDINGS, batch, "union")
    embedded = EMBEDDINGS(batch.left_ids, batch.left_types)
    assert inputs["inputs_embeds"].tobytes() == embedded.tobytes()
    assert inputs["attention_mask"].tolist() == batch.left_mask.tolist()


def test_mix_of_vectors_and_matrices() -> None:
    lam = np.array([0.25, 1], np.float32)
    found = mix(np.array([[4.0], [2.0]]), np.array([[8.0], [5.0]]), lam)
    assert found.tolist() == [[7], [2]]
    assert mix(np.array([4.0, 2.0]), np.array([8.0, 5.0]), lam).tolist() == [7, 2]


def test_masks() -> None:
    left, right = np.array([[1, 1, 0]] * 3), np.array([[1, 1, 1]] * 3)
    lam = np.array([0.5, 0.49, 1], np.float32)
    assert mixed_mask(left, right, lam, "union").tolist() == [[1, 1, 1]] * 3
    assert mixed_mask(left, right, lam, "heavier").tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 0]]


def test_models_without_token_types() -> None:
    ids = np.array([[1, 2]])
    types = np.array([[0, 1]])
    plain = InputEmbeddings(word=Table(WORDS), token_type=None)
    np.testing.assert_array_equal(plain(ids, types), WORDS[ids])
    np.testing.assert_array_equal(EMBEDDINGS(ids, None), WORDS[ids])


def test_tables_are_found_by_name() -> None:
    model = SimpleNamespace(
        named_modules=lambda: [
            ("bert.embeddings.position_embeddings", Table(WORDS)),
            ("bert.embeddings.token_type_embeddings", Table(TYPES)),
        ],
        get_input_embeddings=lambda: Table(WORDS),
    )
    found = InputEmbeddings.of(model)
    assert found.token_type.weight is TYPES
    assert found.word.weight is WORDS


def test_map_leaves_absent_types_absent() -> None:
    batch = examples(3).mixes(pair_table([0], [1], [0.5]), PAD).map(lambda values: values + 1)
    assert batch.left_types is None
    assert batch.lam.tolist() == [1.5]


def masked_mean(inputs: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Logits of a good model: the mean of the positions it may see."""
    mask = inputs["attention_mask"][:, :, None]
    found: npt.NDArray[np.float32] = (inputs["inputs_embeds"] * mask).sum(1) / mask.sum(1)
    return found


def from_ids(model: Callable[[dict[str, Any]], Any]) -> Callable[[MixBatch], Any]:
    return lambda batch: model(
        {
            "inputs_embeds": EMBEDDINGS(batch.left_ids, batch.left_types),
            "attention_mask": batch.left_mask,
        }
    )


def from_mix(model: Callable[[dict[str, Any]], Any]) -> Callable[[MixBatch], Any]:
    return lambda batch: model(mixed_inputs(EMBEDDINGS, batch, "union"))


def test_the_probe_accepts_a_model_that_sees_no_padding() -> None:
    probe("good", examples(20, types=True), PAD, from_ids(masked_mean), from_mix(masked_mean))


def test_the_probe_refuses_a_model_that_sees_padding() -> None:
    def plain_mean(inputs: dict[str, Any]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = inputs["inputs_embeds"].mean(axis=1)
        return found

    with pytest.raises(PaddingDependentError, match="^bad: .*an example alone.*depend on padding"):
        probe("bad", examples(20, types=True), PAD, from_ids(plain_mean), from_mix(plain_mean))


def test_the_probe_refuses_embeddings_that_do_not_stand_for_ids() -> None:
    with pytest.raises(PaddingDependentError, match="from embeddings equal to logits from ids"):
        probe(
            "bad",
            examples(20, types=True),
            PAD,
            lambda batch: from_ids(masked_mean)(batch) + 0.01,
            from_mix(masked_mean),
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_probe_refuses_logits_that_are_not_finite(value: float) -> None:
    def broken(inputs: dict[str, Any]) -> npt.NDArray[np.float32]:
        return np.full((len(inputs["inputs_embeds"]), 2), value, np.float32)

    with pytest.raises(PaddingDependentError, match="a difference of inf"):
        probe("bad", examples(20, types=True), PAD, from_ids(broken), from_mix(broken))


def test_relative_difference() -> None:
    ones = np.ones((2, 2), np.float32)
    assert relative_difference(ones, ones) == 0
    assert relative_difference(ones * 110, ones * 100) == pytest.approx(0.1)
    assert relative_difference(ones * 0.6, ones * 0.5) == pytest.approx(0.1)
    for bad in (np.nan, np.inf):
        assert relative_difference(ones * bad, ones) == np.inf
        assert relative_difference(ones * bad, ones * bad) == np.inf


def test_probe_rows_span_the_lengths() -> None:
    made = examples(50)
    lengths = made.lengths[probe_rows(made)]
    assert len(lengths) == 4
    assert (lengths[0], lengths[-1]) == (made.lengths.min(), made.lengths.max())
    assert len(probe_rows(examples(2))) == 4
