"""A teacher that is given as an object: the same logits as from its files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from mixkd.shared.errors import (
    LabelOrderError,
    ModelError,
    PaddingDependentError,
    UsageError,
)
from mixkd.shared.mixup import MASK_RULES
from mixkd.shared.models.locate import Checkpoint
from mixkd.shared.models.quietly import quiet
from mixkd.shared.models.tokenizer import load_tokenizer, tokenizer_files
from mixkd.teacher_cache.starts import choose_starts, student_start
from mixkd.teacher_cache.teacher import Teacher
from tests.miniature import ENCODERS, tiny_model
from tests.numpy_caches import pair_table
from tests.teacher_cache.loaded import load, saved, some_examples

PAIRS = pair_table([0, 1, 2, 3, 0], [2, 0, 2, 1, 3], np.array([0.9, 0.25, 1, 0.5, 0.1], np.float32))


def in_memory(checkpoint: Checkpoint) -> Any:
    with quiet():
        return AutoModelForSequenceClassification.from_pretrained(checkpoint.folder)


def given(model: Any, checkpoint: Checkpoint, **more: Any) -> Teacher:
    settings: dict[str, Any] = {"name": "mine", "max_length": 64, **more}
    return Teacher.from_model(model, load_tokenizer(checkpoint), **settings)


@pytest.mark.parametrize("family", ENCODERS)
def test_a_model_in_memory_scores_and_starts_students_as_its_files_do(
    family: str, tmp_path: Path
) -> None:
    checkpoint = saved(tmp_path, family)
    examples = some_examples(checkpoint)
    for mask in MASK_RULES:
        loaded = load(checkpoint, mask=mask)
        teacher = given(in_memory(checkpoint).train(), checkpoint, mask=mask)
        teacher.probe(examples)
        assert teacher.pad_id == loaded.pad_id
        batch = examples.mixes(PAIRS, teacher.pad_id)
        np.testing.assert_array_equal(teacher.score(batch), loaded.score(batch))
    assert student_start(teacher.model, (0,)) == student_start(loaded.model, (0,))


def test_the_order_of_labels_may_be_given(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    model, batch = in_memory(checkpoint), some_examples(checkpoint).originals(np.arange(4), 0)
    plain, turned = given(model, checkpoint), given(model, checkpoint, columns=(1, 0))
    np.testing.assert_array_equal(turned.score(batch), plain.score(batch)[:, [1, 0]])
    with pytest.raises(LabelOrderError, match="mine: expected 3 labels, found 2"):
        given(model, checkpoint, columns=(0, 1, 2))


def test_the_tokenizer_stays_as_it_is_and_gives_its_files(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    tokenizer = load_tokenizer(checkpoint)
    tokenizer.backend_tokenizer.enable_truncation(7)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    Teacher.from_model(in_memory(checkpoint), tokenizer, name="mine", max_length=64)
    assert tokenizer_files(tokenizer) == tokenizer_files(load_tokenizer(checkpoint))
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 7
    assert tokenizer.backend_tokenizer.padding["length"] == 9


def test_the_config_of_the_given_model_stays_as_it_is(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    model = in_memory(checkpoint)
    model.config.pad_token_id = None
    before = model.config.to_json_string()
    teacher = given(model, checkpoint)
    teacher.probe(some_examples(checkpoint))
    assert teacher.pad_id == 0
    assert model.config.to_json_string() == before


class Bag(torch.nn.Module):
    """A classifier of one's own: a sum over positions that the mask shows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(160, 8)
        self.head = torch.nn.Linear(8, 2)
        self.config = SimpleNamespace(num_labels=2, pad_token_id=0)

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.words

    def forward(
        self, attention_mask: Any, input_ids: Any = None, inputs_embeds: Any = None
    ) -> SimpleNamespace:
        words = self.words(input_ids) if inputs_embeds is None else inputs_embeds  # [B, T, D]
        summed = (words * attention_mask[..., None]).sum(dim=1)  # [B, D]
        return SimpleNamespace(logits=self.head(summed))  # [B, C]


def test_any_module_that_passes_the_probe_is_a_teacher(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    examples = some_examples(checkpoint)
    teacher = given(Bag(), checkpoint)
    teacher.probe(examples)
    ids = torch.tensor(examples.input_ids[2][None].astype(np.int64))  # [1, T]
    with torch.no_grad():
        expected = Bag()(torch.ones_like(ids), ids).logits
    actual = teacher.score(examples.originals([2], teacher.pad_id))
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5)
    assert choose_starts(teacher.model, ()) == ()
    for requested in (None, [1]):
        with pytest.raises(ModelError, match=r"Bag: .*no number of layers.*--student-layers none"):
            choose_starts(teacher.model, requested)


def test_a_module_of_ones_own_class_starts_no_students(tmp_path: Path) -> None:
    model = Bag()
    model.config.num_hidden_layers = 1
    with pytest.raises(ModelError, match=r"Bag: .*a class of its own; use --student-layers none"):
        student_start(model, (0,))


def test_a_module_that_does_not_pass_the_probe_is_refused(tmp_path: Path) -> None:
    class Blind(Bag):
        def forward(self, attention_mask: Any, **inputs: Any) -> SimpleNamespace:
            return super().forward(torch.ones_like(attention_mask), **inputs)

    checkpoint = saved(tmp_path)
    with pytest.raises(PaddingDependentError, match="mine: .*logits depend on padding"):
        given(Blind(), checkpoint).probe(some_examples(checkpoint))


def test_what_is_not_a_float32_classifier_is_refused(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    with pytest.raises(ModelError, match=r"mine: expected a classifier with config.num_labels"):
        given(torch.nn.Linear(2, 2), checkpoint)
    with pytest.raises(ModelError, match="found weights in torch.bfloat16"):
        given(Bag().to(torch.bfloat16), checkpoint)
    with pytest.raises(ModelError, match="found no get_input_embeddings"):
        given(SimpleModule(SimpleNamespace(num_labels=2)), checkpoint)
    with pytest.raises(UsageError, match="--device"):
        given(Bag(), checkpoint, device="abacus")


class SimpleModule(torch.nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config


def test_limits_are_those_of_a_loaded_teacher(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    with pytest.raises(ModelError, match="found 81; use --max-length 80"):
        given(in_memory(checkpoint), checkpoint, max_length=81)
    small = tiny_model()
    small.resize_token_embeddings(12)
    with pytest.raises(ModelError, match="found 12 embeddings; call model.resize_token_embeddings"):
        given(small, checkpoint)
    bag = Bag()
    bag.config.pad_token_id = 500
    with pytest.raises(ModelError, match="a padding token below 160.*found 500"):
        given(bag, checkpoint)
