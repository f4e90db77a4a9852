"""Loading students: from the cache, by name, with their own tokenizers; hostile ones refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mixkd.shared import files
from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import (
    DataError,
    LabelOrderError,
    MalformedError,
    ModelError,
    PaddingDependentError,
    UnsafeFileError,
)
from mixkd.shared.examples import Examples, Ragged
from mixkd.shared.models.loading import Labels, load_student
from mixkd.shared.models.model import to_tensors
from mixkd.shared.models.received import ModelFiles
from mixkd.student_train import student as student_module
from mixkd.student_train.student import load
from tests.miniature import ENCODERS, REFUSED, tiny_model, tiny_teacher, tiny_tokenizer
from tests.numpy_caches import pair_table
from tests.student_train.caches import make_cache

SMALL = {
    "vocab_size": 160,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
}


def edit(file: Path, **changes: Any) -> None:
    value = json.loads(file.read_text())
    value.update(changes)
    file.write_text(json.dumps(value))


@pytest.fixture
def start(cache: Path, tmp_path: Path) -> Path:
    """A copy of the cache's starting point, to be spoilt."""
    folder = tmp_path / "start"
    shutil.copytree(cache / "student_init" / "layers-0", folder)
    return folder


def load_model(start: Path, cache: Path) -> Any:
    """The model of a starting point, with the cache's labels."""
    identity = Cache.open(cache).identity
    labels = Labels(identity.label_names, identity.problem_type)
    return load_student(ModelFiles.read(str(start), start), labels)


def test_the_start_has_the_teachers_weights_and_the_caches_labels(
    cache: Path, good_teacher: Path
) -> None:
    from safetensors.torch import load_file

    found = load(Cache.open(cache), None, None, seed=1).student.model
    teacher = load_file(good_teacher / "model.safetensors")
    weights = found.state_dict()
    assert found.config.id2label == {0: "dull", 1: "bright"}
    assert found.config.num_hidden_layers == 1
    shared = [name for name in weights if name.startswith("bert.")]
    assert shared and all(torch.equal(weights[name], teacher[name]) for name in shared)


def test_the_head_depends_on_the_seed_alone(cache: Path) -> None:
    opened = Cache.open(cache)
    one, again, two = (load(opened, None, None, seed).student.model for seed in (1, 1, 2))
    assert torch.equal(one.classifier.weight, again.classifier.weight)
    assert not torch.equal(one.classifier.weight, two.classifier.weight)


@pytest.mark.parametrize("family", ENCODERS)
def test_students_of_nine_families(family: str, cache: Path, tmp_path: Path) -> None:
    folder = tiny_teacher(tmp_path / family, family, head=False)
    found = load(Cache.open(cache), str(folder), None, seed=0)
    batch = found.examples["train"].mixes(pair_table([0, 3], [1, 2], [0.3, 0.8]), 1)
    assert found.student(to_tensors(batch, "cpu")).shape == (2, 2)
    assert found.student.pad_id == found.student.model.config.pad_token_id


@pytest.mark.parametrize("family", REFUSED)
def test_students_that_the_probe_refuses(family: str, cache: Path, tmp_path: Path) -> None:
    folder = tiny_teacher(tmp_path / family, family)
    with pytest.raises((PaddingDependentError, ModelError), match="expected"):
        load(Cache.open(cache), str(folder), None, seed=0, allowed=[family])


@pytest.mark.parametrize("family", [*REFUSED, "nystromformer"])
def test_types_of_models_that_nobody_allowed(family: str, cache: Path, start: Path) -> None:
    edit(start / "config.json", model_type=family)
    expected = f"to be one of albert, bert, .*, found '{family}'; .* --allow-model-type NAME"
    with pytest.raises(UnsafeFileError, match=expected):
        load(Cache.open(cache), str(start), None, seed=0)


def test_a_type_of_models_that_the_user_allows(cache: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model("camembert", **SMALL))
    model.save_pretrained(tmp_path / "student")
    opened = Cache.open(cache)
    with pytest.raises(UnsafeFileError, match="found 'camembert'"):
        load(opened, str(tmp_path / "student"), None, seed=0)
    found = load(opened, str(tmp_path / "student"), None, seed=0, allowed=["camembert"])
    assert found.student.model.config.model_type == "camembert"


@pytest.mark.parametrize(
    ("family", "change", "found"),
    [
        ("deberta-v2", {"pooler_hidden_act": "geluu"}, "KeyError: 'geluu'"),
        ("albert", {"num_hidden_groups": 0}, "ZeroDivisionError"),
    ],
)
def test_a_model_that_fails_in_its_own_way(
    cache: Path, tmp_path: Path, family: str, change: dict[str, Any], found: str
) -> None:
    """Found by fuzzing: it loads, and raises what no list of errors foresaw once it is called."""
    folder = tiny_teacher(tmp_path / family, family, head=False)
    edit(folder / "config.json", **change)
    with pytest.raises(ModelError, match=f"takes inputs_embeds.*{found}"):
        load(Cache.open(cache), str(folder), None, seed=0)


def test_a_trained_head_keeps_its_weights(cache: Path, good_teacher: Path) -> None:
    from safetensors.torch import load_file

    found = load(Cache.open(cache), str(good_teacher), None, seed=0).student.model
    trained = load_file(good_teacher / "model.safetensors")
    assert torch.equal(found.classifier.weight, trained["classifier.weight"])


def test_a_trained_head_of_another_label_order_is_refused(cache: Path, tmp_path: Path) -> None:
    folder = tiny_teacher(tmp_path / "student", labels=("bright", "dull"))
    with pytest.raises(LabelOrderError, match="order: dull, bright, found bright, dull"):
        load(Cache.open(cache), str(folder), None, seed=0)


def test_a_head_of_a_different_size_is_randomly_initialised(cache: Path, tmp_path: Path) -> None:
    folder = tiny_teacher(tmp_path / "student", labels=("dull", "bright", "odd"))
    model = load(Cache.open(cache), str(folder), None, seed=0).student.model
    assert model.config.num_labels == 2 and model.classifier.weight.shape[0] == 2


def test_another_tokenizer_encodes_the_texts_once(
    cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import AutoTokenizer

    caplog.set_level("INFO")
    folder = tiny_teacher(tmp_path / "student", "roberta", head=False)
    opened = Cache.open(cache)
    found = load(opened, str(folder), None, seed=0)
    assert "is not the cache's: 60 texts encoded once" in caplog.text
    tokenizer = AutoTokenizer.from_pretrained(folder)
    stored = opened.examples()
    assert stored.text_a is not None
    for row in (0, 17, 39):
        expected = tokenizer(stored.text_a[row].as_py())["input_ids"]
        assert found.examples["train"].input_ids[row].tolist() == expected
    assert found.examples["train"].token_type_ids is None
    assert np.array_equal(found.examples["train"].labels, stored.labels)


def test_the_same_ids_are_not_encoded_again(
    cache: Path, good_teacher: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    opened = Cache.open(cache)
    found = load(opened, str(good_teacher), None, seed=0)
    assert "encoded" not in caplog.text
    assert np.array_equal(found.examples["train"].input_ids.flat, opened.examples().input_ids.flat)


def test_another_tokenizer_needs_texts(good_teacher: Path, folder: Path, tmp_path: Path) -> None:
    root = make_cache(folder / "no-text", good_teacher, text=False)
    student = tiny_teacher(tmp_path / "student", "roberta", head=False)
    with pytest.raises(DataError, match="expected texts.* made with --no-text"):
        load(Cache.open(root), str(student), None, seed=0)
    load(Cache.open(root), str(good_teacher), None, seed=0)


def test_a_vocabulary_that_is_too_small(cache: Path, tmp_path: Path) -> None:
    model = tiny_model()
    model.resize_token_embeddings(12)
    model.base_model.save_pretrained(tmp_path / "student")
    with pytest.raises(ModelError, match="token ids below 12, .*; use a student of the same"):
        load(Cache.open(cache), str(tmp_path / "student"), None, seed=0)


def test_too_few_positions(cache: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(**{**SMALL, "max_position_embeddings": 8})
    BertModel(config).save_pretrained(tmp_path / "student")
    tiny_tokenizer(tmp_path / "student")
    with pytest.raises(ModelError, match="longest example, [0-9]+ tokens, found 8; use a student"):
        load(Cache.open(cache), str(tmp_path / "student"), None, seed=0)


@pytest.mark.parametrize("name", ["a/b/c", "./nowhere", "/nowhere"])
def test_a_student_that_is_not_there(cache: Path, name: str) -> None:
    with pytest.raises(
        ModelError, match=f"{name}: expected a model's folder.*, found no such folder"
    ):
        load(Cache.open(cache), name, None, seed=0)


def test_a_file_for_a_student(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "student").write_text("")
    with pytest.raises(ModelError, match="expected a model's folder, found a file"):
        load(Cache.open(cache), str(tmp_path / "student"), None, seed=0)


def test_a_folder_without_a_model(cache: Path, tmp_path: Path) -> None:
    weights = {"bert.embeddings.word_embeddings.weight": torch.zeros(3, 2)}
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(MalformedError, match="config.json: expected a JSON object, found no such"):
        load(Cache.open(cache), str(tmp_path), None, seed=0)


def test_a_hub_id_without_a_connection(cache: Path) -> None:
    with pytest.raises(ModelError, match="expected a folder, or a model that the Hub gives out"):
        load(Cache.open(cache), "nobody/nothing", None, seed=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoModel": "code.Model"}),
        ("quantization_config", {"quant_method": "gptq"}),
        ("attn_implementation", "someone/kernels"),
        ("_attn_implementation", "someone/kernels"),
    ],
)
def test_foreign_code_is_refused(cache: Path, start: Path, key: str, value: object) -> None:
    edit(start / "config.json", **{key: value})
    with pytest.raises(UnsafeFileError, match=f"config.json: expected no key {key}"):
        load_model(start, cache)


def test_a_second_config_is_not_read(cache: Path, start: Path) -> None:
    """transformers would take it in place of the first, whatever it says."""
    second = json.loads((start / "config.json").read_text())
    second["_attn_implementation"] = "someone/kernels"
    (start / "config.4.0.0.json").write_text(json.dumps(second))
    edit(start / "config.json", configuration_files=["config.4.0.0.json"])
    with pytest.raises(UnsafeFileError, match=r"config\.json: expected no key configuration_files"):
        load_model(start, cache)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_attn_implementation", "eager"),
        ("attn_implementation", "sdpa"),
        ("_attn_implementation_autoset", True),
        ("quantization_config", None),
        ("auto_map", None),
    ],
)
def test_how_attention_is_computed_is_the_librarys_choice(
    cache: Path, start: Path, key: str, value: object
) -> None:
    usual = load_model(start, cache).config
    edit(start / "config.json", **{key: value})
    config = load_model(start, cache).config
    assert config._attn_implementation == usual._attn_implementation
    assert config.to_dict() == usual.to_dict()


@pytest.mark.parametrize("own", [False, True], ids=["the cache's", "a folder"])
def test_files_that_are_swapped_once_they_were_read_are_not_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Between a digest and its use there is no second look at a path."""
    root = Path(shutil.copytree(cache, tmp_path / "cache"))
    folder = tiny_teacher(tmp_path / "student", "roberta", head=False)
    name = str(folder) if own else None
    expected = load(Cache.open(root), name, None, seed=0)
    read = files.read

    def read_and_swap(root: Path, name: str, **limits: Any) -> bytes:
        data = read(root, name, **limits)
        path = root / name
        if "tokenizer" in str(path) or path.parent.parent.name == "student_init" or own:
            path.write_bytes(b"swapped")
        return data

    opened = Cache.open(root)
    monkeypatch.setattr(files, "read", read_and_swap)
    found = load(opened, name, None, seed=0)
    assert (folder if own else root / "tokenizer").joinpath("tokenizer.json").read_bytes() == (
        b"swapped"
    )
    assert found.sha256 == expected.sha256
    assert found.tokenizer.get_vocab() == expected.tokenizer.get_vocab()
    weights = expected.student.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in found.student.state_dict().items())


def test_the_probe_is_short_however_long_the_examples_are(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention over 16,384 positions takes 5 GB whatever the width; whether it depends on padding
    does not need as many."""
    seen: list[Examples] = []
    monkeypatch.setattr(student_module, "probe", lambda name, examples, *_: seen.append(examples))
    found = load(Cache.open(cache), None, None, seed=0)
    rows = [np.full(length, 7) for length in (3, 90, 16_384, 700, 12, 16_384)]
    long = Examples(Ragged.from_rows(rows, np.int32), None, np.zeros(len(rows), np.int64))
    monkeypatch.setattr(student_module, "position_count", lambda model: None)
    for heads, width in ((2, 128), (256, 128), (1024, 64), (10**9, 1)):
        found.student.model.config.num_attention_heads = heads
        student_module._probe("student", found.student, {"train": long})
        assert seen[-1].lengths.max() == width
        assert len(seen[-1]) == 4


def test_what_cannot_be_saved_is_not_trained(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import PreTrainedTokenizerFast

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(36, "File name too long")

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", refuse)
    with pytest.raises(ModelError, match="tokenizer that can be saved, found OSError: .*too long"):
        load(Cache.open(cache), None, None, seed=0)


@pytest.mark.parametrize(
    "template",
    [{"a" * 300: "{{ 1 }}", "default": "{{ 2 }}"}, "\ud800", [{"name": "../x", "template": "y"}]],
    ids=["300 letters", "half a character", "elsewhere"],
)
def test_templates_of_chats_are_left_out(cache: Path, tmp_path: Path, template: object) -> None:
    """They used to end a run when the student was written, after the last epoch."""
    folder = tiny_teacher(tmp_path / "student", "roberta", head=False)
    edit(folder / "tokenizer_config.json", chat_template=template)
    if template == "\ud800":
        with pytest.raises(MalformedError, match=r"tokenizer_config\.json: expected JSON in UTF-8"):
            load(Cache.open(cache), str(folder), None, seed=0)
        return
    found = load(Cache.open(cache), str(folder), None, seed=0)
    found.tokenizer.save_pretrained(tmp_path / "saved")
    found.student.model.save_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_other_places_to_load_from_are_refused(cache: Path, start: Path) -> None:
    (start / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    with pytest.raises(UnsafeFileError, match="an adapter on top of another model"):
        load_model(start, cache)
    (start / "adapter_config.json").unlink()
    index = start / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../../elsewhere.safetensors"}}')
    load_model(start, cache)  # of an index beside the weights nothing is used
    (start / "model.safetensors").unlink()
    with pytest.raises(MalformedError, match="names of safetensors files beside it"):
        load_model(start, cache)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 65},
        {"vocab_size": 10**12},
        {"hidden_size": 10**6},
        {"intermediate_size": 2**20},
        {"max_position_embeddings": 2**40},
        {"intermediate_size": 100_000},
        {"vocab_size": 100_000},
    ],
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_anything_is_built(
    cache: Path, start: Path, changes: dict[str, int]
) -> None:
    edit(start / "config.json", **changes)
    with pytest.raises(UnsafeFileError, match="start/config.json: expected .*, found"):
        load_model(start, cache)


def test_words_for_labels_are_no_numbers_of_layers(cache: Path, start: Path) -> None:
    names = {f"{name} {number}": number for number in range(150) for name in ("repeat", "group")}
    edit(start / "config.json", label2id=names, id2label={n: name for name, n in names.items()})
    model = load_model(start, cache)
    assert model.config.label2id == {"dull": 0, "bright": 1}


def test_layers_without_weights_are_refused(cache: Path, start: Path) -> None:
    edit(start / "config.json", num_hidden_layers=2)
    with pytest.raises(ModelError, match=r"found none for bert\.encoder\.layer\.1"):
        load_model(start, cache)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "unheard-of"}', "[" * 100_000])
def test_a_config_that_is_not_one(cache: Path, start: Path, content: str) -> None:
    (start / "config.json").write_text(content)
    with pytest.raises(MalformedError, match=r"config\.json: expected"):
        load_model(start, cache)


def test_weights_that_are_not_weights(cache: Path, start: Path) -> None:
    (start / "model.safetensors").write_bytes(b"PK\x03\x04 a zip, perhaps a pickle")
    with pytest.raises(MalformedError, match="expected a safetensors file"):
        load_model(start, cache)
    (start / "model.safetensors").rename(start / "pytorch_model.bin")
    with pytest.raises(MalformedError, match=r"only pytorch_model\.bin, a pickle"):
        load_model(start, cache)
