"""Starting points of students: they load, and compute what the teacher's first layers do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from mixkd.shared.cache.starts import layers_by
from mixkd.shared.errors import ModelError, UsageError
from mixkd.shared.models.quietly import quiet
from mixkd.teacher_cache.starts import _layer_lists, choose_starts, start_bytes, student_start
from tests.miniature import ENCODERS, tiny_model

LAYERS, HALF = 4, 2
FIRST = (0, 1)
# What may be missing from a starting point: it belongs to the classifier, not to the encoder.
HEADS = ("classifier", "pre_classifier", "pooler", "head")


def started(files: dict[str, bytes], folder: Path, labels: int) -> tuple[Any, set[str]]:
    """The student that the files load as, and the names of what was randomly initialised."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with quiet():
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=labels, output_loading_info=True
        )
    assert not loading["unexpected_keys"]
    assert not loading["mismatched_keys"]
    return model.eval(), set(loading["missing_keys"])


def hidden_states(model: Any) -> Any:
    ids = torch.tensor([[2, 5, 9, 30, 3], [2, 7, 3, 1, 1]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    return output.hidden_states


@pytest.mark.parametrize("family", ENCODERS)
def test_half_the_layers_compute_what_the_teachers_do(family: str, tmp_path: Path) -> None:
    teacher = tiny_model(family, layers=LAYERS)
    files = student_start(teacher, FIRST)
    size = len(files["model.safetensors"])
    assert start_bytes(teacher, FIRST) == pytest.approx(size, rel=0.1)
    student, missing = started(files, tmp_path / "start", labels=3)
    assert student.config.num_hidden_layers == HALF
    assert student.config.num_labels == 3
    assert missing
    assert {name.split(".")[0] for name in missing} <= set(HEADS)
    ours, theirs = hidden_states(student), list(hidden_states(teacher))
    assert len(ours) == HALF + 1
    if family == "modernbert":  # normalises what leaves its last layer
        theirs[HALF] = teacher.base_model.final_norm(theirs[HALF])
    for our, their in zip(ours, theirs, strict=False):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", ENCODERS)
def test_the_files_are_the_same_each_time_and_tell_no_origin(family: str, tmp_path: Path) -> None:
    tiny_model(family, labels=("odd", "loud", "warm"), layers=LAYERS).save_pretrained(tmp_path)
    with quiet():
        teacher = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    files = student_start(teacher, FIRST)
    torch.manual_seed(7)
    assert files == student_start(teacher, FIRST)
    assert sorted(files) == ["config.json", "model.safetensors"]
    assert str(tmp_path) not in files["config.json"].decode()
    config = json.loads(files["config.json"])
    assert not {"_name_or_path", "auto_map", "id2label", "label2id", "problem_type"} & set(config)
    assert teacher.config.num_labels == 3
    assert teacher.config.num_hidden_layers == LAYERS


def test_all_layers_are_a_start_too(tmp_path: Path) -> None:
    teacher = tiny_model(layers=LAYERS)
    student, _ = started(student_start(teacher, tuple(range(LAYERS))), tmp_path / "start", labels=2)
    torch.testing.assert_close(hidden_states(student)[-1], hidden_states(teacher)[-1])


def test_the_kinds_of_layers_are_cut_too() -> None:
    teacher = tiny_model("modernbert", layers=LAYERS)
    full, sliding = "full_attention", "sliding_attention"
    for layers, expected in (
        ((0, 1, 2), [full, sliding, full]),
        ((0, 2, 3), [full, full, sliding]),
    ):
        config = json.loads(student_start(teacher, layers)["config.json"])
        assert config["layer_types"] == expected


def grouped_albert(groups: int) -> Any:
    config = AutoConfig.for_model(
        "albert",
        vocab_size=160,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_hidden_groups=groups,
        num_attention_heads=2,
        intermediate_size=48,
        pad_token_id=0,
        initializer_range=0.3,
    )
    build: Any = AutoModelForSequenceClassification.from_config
    return build(config).eval()


def test_groups_of_layers_are_cut_where_they_end(tmp_path: Path) -> None:
    teacher = grouped_albert(groups=2)
    student, _ = started(student_start(teacher, (0, 1)), tmp_path / "start", labels=2)
    assert student.config.num_hidden_groups == 1
    for our, their in zip(hidden_states(student), hidden_states(teacher), strict=False):
        torch.testing.assert_close(our, their)
    with pytest.raises(ModelError, match="3 layers would split; use --student-layers none"):
        student_start(teacher, (0, 1, 2))


@pytest.mark.parametrize("family", sorted({*ENCODERS} - {"albert"}))
def test_layers_of_a_choice_are_the_teachers(family: str, tmp_path: Path) -> None:
    """A teacher whose left-out layers do nothing computes what the student does."""
    teacher = tiny_model(family, layers=LAYERS)
    student, _ = started(student_start(teacher, (0, 2)), tmp_path / "start", labels=3)
    [name] = _layer_lists(teacher)
    kept = teacher.base_model.get_submodule(name)
    where, _, last = name.rpartition(".")
    layers = torch.nn.ModuleList([kept[0], kept[2]])
    setattr(teacher.base_model.get_submodule(where), last, layers)
    teacher.config.num_hidden_layers = 2
    for our, their in zip(hidden_states(student), hidden_states(teacher), strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-6)


def test_starts_default_to_half_the_layers_spread() -> None:
    teacher = tiny_model(layers=LAYERS)
    assert choose_starts(teacher) == ((0, 3),)
    assert choose_starts(teacher, [3, 1, 3], ["first"]) == ((0,), (0, 1, 2))
    assert choose_starts(teacher, [2, (1, 3)], ["first", "spread"]) == ((0, 1), (0, 3), (1, 3))
    assert choose_starts(teacher, []) == ()
    assert choose_starts(tiny_model(layers=1)) == ((0,),)


def test_spread_layers_reach_from_the_first_to_the_last() -> None:
    assert layers_by("spread", 3, 6) == (0, 2, 5)
    assert layers_by("spread", 6, 12) == (0, 2, 4, 7, 9, 11)
    assert layers_by("spread", 1, 12) == layers_by("first", 1, 12) == (0,)
    assert layers_by("first", 3, 12) == (0, 1, 2)
    for total in range(1, 30):
        for depth in range(1, total + 1):
            layers = layers_by("spread", depth, total)
            assert len({*layers}) == depth and layers[-1] == (total - 1 if depth > 1 else 0)


def test_layers_that_share_weights_are_taken_from_the_first_on() -> None:
    teacher = grouped_albert(groups=1)
    assert choose_starts(teacher) == ((0, 1),)
    with pytest.raises(ModelError, match="layers that share weights; use --starts first"):
        student_start(teacher, (0, 3))


def test_layers_that_the_teacher_has_not_are_refused() -> None:
    teacher = tiny_model(layers=LAYERS)
    with pytest.raises(ModelError, match=r"--student-layers: expected at most 4.*found 9"):
        choose_starts(teacher, [2, 9])
    with pytest.raises(ModelError, match=r"--student-layers: expected at most 4.*found 0-4"):
        choose_starts(teacher, [(0, 4)])
    with pytest.raises(UsageError, match="--student-layers: expected depths of 1 and more"):
        choose_starts(teacher, [0])
    with pytest.raises(UsageError, match="--student-layers: expected depths .* found 2-1"):
        choose_starts(teacher, [(2, 1)])
