"""Where a teacher's files are, which are refused, and the digest that is its identity."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

from mixkd.shared.errors import ModelError
from mixkd.shared.models.checkpoint import checkpoint_sha256, read_config, weight_files
from mixkd.shared.models.locate import locate
from mixkd.shared.models.tokenizer import load_tokenizer, tokenizer_files
from tests.miniature import tiny_model, tiny_tokenizer
from tests.teacher_cache.loaded import load, saved, some_examples

COMMIT = "c" * 40


def test_a_folder_is_known_by_its_own_name(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    assert checkpoint.folder == tmp_path / "bert"
    assert checkpoint.about == {"teacher": "bert"}


def test_an_existing_path_wins_over_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maker" / "model").mkdir(parents=True)
    assert locate("maker/model").folder == Path("maker/model")


def test_a_file_is_not_a_teacher(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ModelError, match="expected a model's folder, found a file"):
        locate(str(file))


@pytest.mark.parametrize("path", ["./nowhere", "/no/where", "models/of/mine", "~/nowhere-at-all"])
def test_a_path_that_is_not_there_is_not_asked_for_on_the_hub(path: str) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        locate(path)


@pytest.mark.parametrize("hub_id", ["maker/unknown", "bad name!"])
def test_a_model_that_the_hub_does_not_give_out_is_a_named_error(hub_id: str) -> None:
    with pytest.raises(ModelError, match=f"{hub_id}: expected a folder, or a model that the Hub"):
        locate(hub_id)


def test_a_model_from_the_hub_comes_with_its_revision() -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    # As the client leaves it after a download; there is no network here.
    repository = Path(HF_HUB_CACHE) / "models--maker--model"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    tiny_model().save_pretrained(snapshot)
    tiny_tokenizer(snapshot)
    checkpoint = locate("maker/model")
    assert checkpoint.folder.samefile(snapshot)
    assert checkpoint.about == {"teacher": "maker/model", "teacher_revision": COMMIT}
    load(checkpoint).probe(some_examples(checkpoint))


@pytest.mark.parametrize("weights", [True, False])
def test_a_tokenizer_comes_without_the_weights_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: bool
) -> None:
    def fetch(
        name: str, revision: str | None, allow_patterns: list[str], ignore_patterns: list[str]
    ) -> str:
        files = ["tokenizer.json", "model.safetensors", "model.safetensors.index.json"]
        fetched = filter_repo_objects(
            files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        )
        assert list(fetched) == (files if weights else files[:1])
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert locate("maker/model", weights=weights).folder == tmp_path


def test_the_identity_is_over_config_and_weights(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        data = (checkpoint.folder / name).read_bytes()
        digest.update(len(name).to_bytes(4, "little") + name.encode())
        digest.update(len(data).to_bytes(8, "little") + data)
    assert checkpoint_sha256(checkpoint) == digest.hexdigest()
    (checkpoint.folder / "README.md").write_text("of no consequence")
    assert checkpoint_sha256(checkpoint) == digest.hexdigest()
    with (checkpoint.folder / "config.json").open("a") as config:
        config.write(" ")
    assert checkpoint_sha256(checkpoint) != digest.hexdigest()


def test_weights_in_parts_are_all_in_the_identity(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path, max_shard_size="40KB")
    checkpoint = locate(str(tmp_path))
    names = weight_files(checkpoint)
    assert names[0] == "model.safetensors.index.json"
    assert len(names) > 2
    before = checkpoint_sha256(checkpoint)
    last = tmp_path / names[-1]
    last.write_bytes(last.read_bytes()[:-1] + b"\x7f")
    assert checkpoint_sha256(checkpoint) != before
    last.unlink()
    with pytest.raises(ModelError, match=f"weights in safetensors, found no {names[-1]}"):
        checkpoint_sha256(checkpoint)


@pytest.mark.parametrize("part", ["../model.safetensors", "/etc/passwd", "model.bin"])
def test_parts_from_elsewhere_are_refused(part: str, tmp_path: Path) -> None:
    index = {"weight_map": {"classifier.weight": part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=f"names of safetensors files beside it.*found {part}"):
        weight_files(locate(str(tmp_path)))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    (checkpoint.folder / "model.safetensors").rename(checkpoint.folder / "pytorch_model.bin")
    for use in (checkpoint_sha256, load):
        with pytest.raises(ModelError, match=r"only pytorch_model\.bin, a pickle"):
            use(checkpoint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "found no such file"),
        ("{", "JSONDecodeError"),
        ("[1]", "found a list"),
        ('{"auto_map": {"AutoModel": "code.Model"}}', "no key auto_map, .* never run"),
        (" " * (1 << 25), "found 33554432 bytes"),
    ],
)
def test_unusable_configs_are_refused(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        read_config(locate(str(tmp_path)))


def test_adapters_are_refused(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    (checkpoint.folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="expected a whole model"):
        read_config(checkpoint)


@pytest.mark.parametrize("others", [(), ("tokenizer_config.json",)])
def test_a_missing_tokenizer_is_a_named_error(others: tuple[str, ...], tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer(tmp_path)
    for file in tmp_path.glob("tokenizer*"):
        if file.name not in others:
            file.unlink()
    with pytest.raises(ModelError, match=r"vocabulary beside the model.*save the tokenizer"):
        load_tokenizer(locate(str(tmp_path)))


def test_a_damaged_tokenizer_is_a_named_error(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    (checkpoint.folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="a tokenizer that transformers can load"):
        load_tokenizer(checkpoint)


def test_the_tokenizers_files_hold_no_padding_or_truncation(tmp_path: Path) -> None:
    checkpoint = locate(str(tiny_tokenizer(tmp_path)))
    tokenizer = load_tokenizer(checkpoint)
    files = tokenizer_files(tokenizer)
    assert sorted(files) == ["tokenizer.json", "tokenizer_config.json"]
    assert tokenizer_files(load_tokenizer(checkpoint)) == files
    assert str(tmp_path) not in "".join(data.decode() for data in files.values())
    tokenizer(["a", "the film"], padding=True, truncation=True, max_length=4)
    assert tokenizer_files(tokenizer) == files
    tokenizer.save_pretrained(tmp_path)  # which has kept both
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"] is not None
    again = tokenizer_files(load_tokenizer(checkpoint))
    assert again["tokenizer.json"] == files["tokenizer.json"]


def test_the_identity_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from mixkd.shared.models.checkpoint import checkpoint_sha256, read_config\n"
        "from mixkd.shared.models.locate import locate\n"
        "from mixkd.teacher_cache.labels import teacher_columns\n"
        "checkpoint = locate(sys.argv[1])\n"
        "config = read_config(checkpoint)\n"
        "teacher_columns('t', config, 'single_label_classification', ('dull', 'bright'))\n"
        "checkpoint_sha256(checkpoint)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(saved(tmp_path).folder)]
    root = Path(__file__).resolve().parents[3]
    subprocess.run(command, check=True, cwd=root, timeout=200)
