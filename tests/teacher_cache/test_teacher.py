"""The teacher against a plain reference, and every model that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mixkd.shared.errors import (
    DeviceMemoryError,
    LabelOrderError,
    ModelError,
    PaddingDependentError,
    UntrainedHeadError,
    UsageError,
)
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MASK_RULES
from mixkd.shared.models.locate import locate
from mixkd.teacher_cache.scorer import scorer_of
from mixkd.teacher_cache.teacher import Teacher
from tests.miniature import ENCODERS, REFUSED, tiny_teacher
from tests.numpy_caches import pair_table
from tests.teacher_cache.loaded import load, saved, some_examples

LEFT, RIGHT = np.array([0, 1, 2, 3, 3, 0]), np.array([2, 0, 2, 1, 0, 3])
LAM = np.array([0.9, 0.25, 1.0, 0.5, 0.499, 0.1], np.float32)


def plain_embedding(model: Any, examples: Examples, row: int, width: int, pad_id: int) -> Any:
    """One example's embeddings [width, D] by reading the tables' rows."""
    words = model.get_input_embeddings().weight
    ids = [*examples.input_ids[row].tolist(), *[pad_id] * width][:width]
    types = [0] * width
    if examples.token_type_ids is not None:
        types = [*examples.token_type_ids[row].tolist(), *types][:width]
    tables = [m for n, m in model.named_modules() if n.endswith("token_type_embeddings")]
    vectors = torch.stack([words[i] for i in ids])
    # The model adds the vector of type 0 at every place; 1 needs the difference.
    if tables:
        vectors = vectors + torch.stack([tables[0].weight[t] - tables[0].weight[0] for t in types])
    return vectors


def plain_logits(teacher: Teacher, examples: Examples, left: int, right: int, lam: float) -> Any:
    """One pair alone: own lookup, own interpolation, no batch."""
    sizes = [len(examples.input_ids[row]) for row in (left, right)]
    width = max(sizes)
    sides = [
        plain_embedding(teacher.model, examples, row, width, teacher.pad_id)
        for row in (left, right)
    ]
    mixed = sides[0] * lam + sides[1] * (1 - lam)
    visible = width if teacher.mask == "union" else sizes[0 if lam >= 0.5 else 1]
    mask = torch.tensor([[1] * visible + [0] * (width - visible)])
    with torch.no_grad():
        return teacher.model(inputs_embeds=mixed[None], attention_mask=mask).logits[0].numpy()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_attn_implementation", "someone/kernels"),
        ("attn_implementation", "kernels-community/flash-attn"),
        ("configuration_files", ["config.4.0.0.json"]),
        ("transformers_weights", "elsewhere.safetensors"),
        ("quantization_config", {"quant_method": "gptq"}),
        ("auto_map", {"AutoConfig": "code.Config"}),
    ],
)
def test_a_config_that_leads_elsewhere_is_refused(key: str, value: object, tmp_path: Path) -> None:
    """A second config is not read, and no package is asked for another attention."""
    checkpoint = saved(tmp_path)
    file = checkpoint.folder / "config.json"
    config = json.loads(file.read_text())
    (checkpoint.folder / "config.4.0.0.json").write_text(
        json.dumps({**config, "_attn_implementation": "someone/kernels"})
    )
    file.write_text(json.dumps({**config, key: value}))
    with pytest.raises(ModelError, match=rf"config\.json: expected no key {key}, found"):
        load(checkpoint)


def test_a_choice_of_attention_in_a_config_is_dropped(tmp_path: Path) -> None:
    """DeBERTa-v2 and MPNet raise on sdpa; their default stays."""
    checkpoint = saved(tmp_path, "mpnet")
    usual = load(checkpoint).model.config._attn_implementation
    file = checkpoint.folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "_attn_implementation": "sdpa"}))
    assert load(checkpoint).model.config._attn_implementation == usual


@pytest.mark.parametrize("family", ENCODERS)
def test_scores_equal_a_plain_reference_pair_by_pair(family: str, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, family)
    examples = some_examples(checkpoint)
    for mask in MASK_RULES:
        teacher = load(checkpoint, mask=mask)
        teacher.probe(examples)
        logits = teacher.score(examples.mixes(pair_table(LEFT, RIGHT, LAM), teacher.pad_id))
        expected = [
            plain_logits(teacher, examples, left, right, float(lam))
            for left, right, lam in zip(LEFT, RIGHT, LAM, strict=True)
        ]
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ENCODERS)
def test_an_original_scores_as_its_ids_do(family: str, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, family)
    examples = some_examples(checkpoint)
    teacher = load(checkpoint)
    logits = teacher.score(examples.originals(np.arange(4), teacher.pad_id))
    for row in range(4):
        inputs = {"input_ids": torch.tensor(examples.input_ids[row][None].astype(np.int64))}
        if examples.token_type_ids is not None:
            types = examples.token_type_ids[row][None].astype(np.int64)
            inputs["token_type_ids"] = torch.tensor(types)
        with torch.no_grad():
            expected = teacher.model(**inputs).logits[0].numpy()
        np.testing.assert_allclose(logits[row], expected, atol=1e-4, rtol=1e-4)


def test_token_types_count(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    examples = some_examples(checkpoint)
    without = Examples(examples.input_ids, None, examples.labels)
    teacher = load(checkpoint)
    scores = [teacher.score(some.originals([1], teacher.pad_id)) for some in (examples, without)]
    assert np.abs(scores[0] - scores[1]).max() > 0.01


def test_the_masks_differ_where_the_lighter_side_is_longer(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    examples = some_examples(checkpoint)
    teachers = [load(checkpoint, mask=mask) for mask in MASK_RULES]
    longer_right = examples.mixes(pair_table([0], [3], [0.9]), teachers[0].pad_id)
    longer_left = examples.mixes(pair_table([3], [0], [0.9]), teachers[0].pad_id)
    union, heavier = (teacher.score(longer_right) for teacher in teachers)
    assert np.abs(union - heavier).max() > 1e-3
    union, heavier = (teacher.score(longer_left) for teacher in teachers)
    np.testing.assert_array_equal(union, heavier)


def test_columns_are_put_in_the_order_of_the_cache(tmp_path: Path) -> None:
    labels = ("dull", "bright", "odd")
    checkpoint = locate(str(tiny_teacher(tmp_path / "three", labels=labels)))
    batch = some_examples(checkpoint).originals(np.arange(4), 0)
    plain = load(checkpoint, (0, 1, 2)).score(batch)
    np.testing.assert_array_equal(load(checkpoint, (2, 0, 1)).score(batch), plain[:, [2, 0, 1]])


def test_a_read_only_batch_is_scored(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    batch = some_examples(checkpoint).originals(np.arange(4), 0)
    batch.lam.flags.writeable = False
    assert load(checkpoint).score(batch).shape == (4, 2)


@pytest.mark.parametrize("family", REFUSED)
def test_models_whose_logits_depend_on_padding_are_refused(family: str, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, family)
    teacher = load(checkpoint)
    with pytest.raises(PaddingDependentError, match=f"{family}: .*logits depend on padding"):
        teacher.probe(some_examples(checkpoint))


def test_a_model_that_takes_no_embeddings_is_refused(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.for_model(
        "bart",
        vocab_size=160,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_position_embeddings=80,
    )
    folder = tiny_teacher(tmp_path / "bart", "roberta")
    build: Any = AutoModelForSequenceClassification.from_config
    build(config).save_pretrained(folder)
    checkpoint = locate(str(folder))
    with pytest.raises(ModelError, match=r"takes inputs_embeds.*NotImplementedError"):
        load(checkpoint, (0, 1, 2)).probe(some_examples(checkpoint))


def test_a_decoder_without_a_padding_token_is_refused(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, "gpt2")
    edit_config(checkpoint.folder, pad_token_id=None)
    with pytest.raises(ModelError, match=r"gpt2: expected a padding token.*found none"):
        load(checkpoint)
    teacher = Teacher.load(
        checkpoint, (0, 1), mask="union", max_length=64, tokenizer_pad_id=0, device="cpu"
    )
    with pytest.raises(PaddingDependentError, match="logits depend on padding"):
        teacher.probe(some_examples(checkpoint))


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_an_encoder_without_a_trained_head_is_refused(family: str, tmp_path: Path) -> None:
    folder = tiny_teacher(tmp_path / "encoder", family, head=False)
    with pytest.raises(UntrainedHeadError, match=r"encoder: .*classifier\.\w+.*finetune"):
        load(locate(str(folder)))


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    file = checkpoint.folder / "model.safetensors"
    weights = load_file(file)
    weights["classifier.weight"] = torch.zeros(3, 32)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(UntrainedHeadError, match=r"none that fit classifier\.weight"):
        load(checkpoint)


def test_buffers_of_older_checkpoints_are_tolerated(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    file = checkpoint.folder / "model.safetensors"
    weights = load_file(file) | {"bert.embeddings.position_ids": torch.arange(80)[None]}
    save_file(weights, file, {"format": "pt"})
    assert load(checkpoint).pad_id == 0


def test_damaged_weights_are_a_named_error(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    (checkpoint.folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="can load, found SafetensorError"):
        load(checkpoint)


def test_an_unknown_kind_of_model_is_a_named_error(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    edit_config(checkpoint.folder, model_type="oracle")
    with pytest.raises(ModelError, match=r"transformers can load, found ValueError.*oracle"):
        load(checkpoint)


def test_more_or_fewer_labels_than_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelOrderError, match="expected 3 labels, found 2"):
        load(saved(tmp_path), (0, 1, 2))


@pytest.mark.parametrize(
    ("family", "positions"), [("bert", 80), ("roberta", 78), ("mpnet", 78), ("electra", 80)]
)
def test_as_many_tokens_as_positions_are_scored_and_more_refused(
    family: str, positions: int, tmp_path: Path
) -> None:
    checkpoint = saved(tmp_path, family)
    teacher = load(checkpoint, max_length=positions)
    short = some_examples(checkpoint).originals([0], teacher.pad_id)
    longest = short.map(lambda values: values if values.ndim == 1 else np.ones((1, positions), int))
    assert np.isfinite(teacher.score(longest)).all()
    with pytest.raises(ModelError, match=f"found {positions + 1}; use --max-length {positions}"):
        load(checkpoint, max_length=positions + 1)


def test_ids_and_types_beyond_the_tables_are_refused(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    examples = some_examples(checkpoint)
    teacher = load(checkpoint)
    examples.input_ids.flat[3] = 160
    with pytest.raises(ModelError, match=r"token ids below 160.*found 160"):
        teacher.probe(examples)
    examples.input_ids.flat[3] = 159
    assert examples.token_type_ids is not None
    examples.token_type_ids.flat[3] = 2
    with pytest.raises(ModelError, match="token types below 2"):
        teacher.probe(examples)


class Greedy(torch.nn.Module):
    """Asks the CPU's allocator for more than any machine has."""

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 60)


def test_a_full_memory_says_what_its_caller_can_do(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    teacher = load(checkpoint)
    teacher.model = Greedy()
    examples = some_examples(checkpoint)
    batch = examples.originals(np.arange(4), teacher.pad_id)
    single = examples.originals([0], teacher.pad_id)
    width = batch.left_ids.shape[1]
    build = scorer_of(teacher, None)
    with pytest.raises(DeviceMemoryError, match=f"4 x {width} .*--batch-tokens {2 * width}$"):
        build.score(batch)
    with pytest.raises(DeviceMemoryError, match="--max-length"):
        build.score(single)
    # `verify --teacher` and the probe have neither option.
    others: list[Callable[[], object]] = [
        lambda: teacher.score(batch),
        lambda: teacher.probe(examples),
        lambda: teacher.choose_dtype("bfloat16", batch),
    ]
    for score in others:
        with pytest.raises(DeviceMemoryError, match=r"use a machine with more memory") as caught:
            score()
        assert "--batch-tokens" not in str(caught.value)


def test_formats_are_compared_on_few_rows_at_once(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    teacher = load(checkpoint)
    batch = some_examples(checkpoint).originals(np.arange(4).repeat(5), teacher.pad_id)
    sizes: list[int] = []
    teacher.model.register_forward_pre_hook(
        lambda model, args, inputs: sizes.append(len(inputs["inputs_embeds"])), with_kwargs=True
    )
    teacher.choose_dtype("bfloat16", batch)
    assert max(sizes) <= 8
    assert sum(sizes) == 2 * 20


def test_other_errors_of_a_model_are_not_called_memory(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    teacher = load(checkpoint)
    batch = some_examples(checkpoint).originals([0], 0)
    batch.left_ids[:] = 7000
    with pytest.raises(IndexError):
        teacher.score(batch)


@pytest.mark.parametrize("device", ["cuda:99", "meta", "abacus"])
def test_an_unusable_device_is_a_usage_error(device: str, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    with pytest.raises(UsageError, match=f"--device: expected auto.*found {device}"):
        Teacher.load(checkpoint, (0, 1), mask="union", max_length=64, device=device)


def test_loading_and_probing_say_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = saved(tmp_path)
    encoder = locate(str(tiny_teacher(tmp_path / "encoder", head=False)))
    capfd.readouterr()
    load(checkpoint).probe(some_examples(checkpoint))
    with pytest.raises(UntrainedHeadError):
        load(encoder)
    assert capfd.readouterr() == ("", "")


def edit_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
