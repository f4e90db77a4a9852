"""What is read of a stranger's model, and what its tokenizer may be; nothing is read twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.errors import MalformedError, UnsafeFileError
from mixkd.shared.models.checkpoint import checkpoint_sha256
from mixkd.shared.models.loading import Labels, load_student
from mixkd.shared.models.locate import locate
from mixkd.shared.models.received import ModelFiles
from mixkd.shared.models.tokenizer import load_strangers_tokenizer
from tests.miniature import tiny_model, tiny_teacher, tiny_tokenizer

LABELS = Labels(("dull", "bright"), "single_label_classification")
WORDS = ["film", "the", "a", "##s", "rather", "odd"]


def read(folder: Path) -> ModelFiles:
    return ModelFiles.read(str(folder), folder)


def test_only_what_a_student_is_loaded_from_is_read(tmp_path: Path) -> None:
    tiny_teacher(tmp_path)
    for name in ("README.md", "more.safetensors", "pytorch_model.bin", "generation_config.json"):
        (tmp_path / name).write_bytes(b"of no consequence")
    assert sorted(read(tmp_path).contents) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_identity_is_that_of_the_folder(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "whole")
    tiny_model().save_pretrained(tmp_path / "parts", max_shard_size="40KB")
    for name in ("whole", "parts"):
        folder = tmp_path / name
        assert read(folder).sha256() == checkpoint_sha256(locate(str(folder)))


def test_weights_in_parts(tmp_path: Path) -> None:
    import torch

    model = tiny_model()
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    loaded = load_student(read(tmp_path), LABELS).state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded[name], tensor)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    tiny_teacher(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(UnsafeFileError, match=f"{name}: expected a regular file"):
        read(tmp_path)


def test_what_was_read_is_used_whatever_becomes_of_the_files(tmp_path: Path) -> None:
    tiny_teacher(tmp_path)
    files = read(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"swapped")
    model = load_student(files, LABELS)
    assert load_strangers_tokenizer(files, model.config.vocab_size, "bert")("film")["input_ids"]
    assert str(tmp_path) not in model.config.to_json_string()


def bert(folder: Path) -> Any:
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return BertTokenizer(vocab={word: number for number, word in enumerate([*special, *WORDS])})


def mpnet(folder: Path) -> Any:
    from transformers import MPNetTokenizer

    special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    return MPNetTokenizer(vocab={word: number for number, word in enumerate([*special, *WORDS])})


def roberta(folder: Path) -> Any:
    from transformers import RobertaTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefilmr", "Ġ", "fi"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return RobertaTokenizer(vocab=vocabulary, merges=[("f", "i")])


def unigram(name: str) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        import transformers

        special = ["<s>", "<pad>", "</s>", "<unk>", "[CLS]", "[SEP]", "[PAD]", "[UNK]"]
        pieces = [*special, "▁", "▁film", *"abcdefilmrost"]
        vocabulary = [(piece, -float(number)) for number, piece in enumerate(pieces)]
        return getattr(transformers, name)(vocab=vocabulary)

    return make


FAMILIES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "BertTokenizer": ("bert", bert),
    "BertTokenizer of DistilBERT": ("distilbert", bert),
    "MPNetTokenizer": ("mpnet", mpnet),
    "RobertaTokenizer": ("roberta", roberta),
    "AlbertTokenizer": ("albert", unigram("AlbertTokenizer")),
    "DebertaV2Tokenizer": ("deberta-v2", unigram("DebertaV2Tokenizer")),
    "XLMRobertaTokenizer": ("xlm-roberta", unigram("XLMRobertaTokenizer")),
}


@pytest.mark.parametrize("with_config", [True, False], ids=["settings", "bare"])
@pytest.mark.parametrize("name", FAMILIES)
def test_tokenizers_of_the_tested_types(tmp_path: Path, name: str, with_config: bool) -> None:
    """They are what AutoTokenizer makes of the folder."""
    from transformers import AutoConfig, AutoTokenizer

    model_type, make = FAMILIES[name]
    make(tmp_path).save_pretrained(tmp_path)
    AutoConfig.for_model(model_type).save_pretrained(tmp_path)
    if not with_config:
        (tmp_path / "tokenizer_config.json").unlink()
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = load_strangers_tokenizer(ModelFiles("student", contents), 100, model_type)
    expected = AutoTokenizer.from_pretrained(tmp_path)
    assert type(found) is type(expected)
    assert found.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
    assert found.special_tokens_map == expected.special_tokens_map
    assert found.model_input_names == expected.model_input_names
    assert found.model_max_length == expected.model_max_length


def test_a_vocabulary_without_a_definition(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]))
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = load_strangers_tokenizer(ModelFiles("student", contents), 100, "bert")
    assert found.tokenize("the films") == ["the", "film", "##s"]


@pytest.mark.parametrize("name", ["ByT5Tokenizer", "CamembertTokenizerFast"])
def test_a_class_that_nobody_allowed(tmp_path: Path, name: str) -> None:
    tiny_tokenizer(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({**settings, "tokenizer_class": name})
    )
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    files = ModelFiles("student", contents)
    with pytest.raises(UnsafeFileError, match=f"to be one of .*found '{name}'.*allow-model-type"):
        load_strangers_tokenizer(files, 100)


def test_no_vocabulary() -> None:
    files = ModelFiles("student", {"tokenizer_config.json": b"{}"})
    with pytest.raises(MalformedError, match="student: expected a tokenizer's vocabulary"):
        load_strangers_tokenizer(files, 100)
