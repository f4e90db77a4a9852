"""A teacher from a tiny encoder and tiny text, and what is refused before and after the work."""

from __future__ import annotations

import json
import logging
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from mixkd.shared.errors import (
    DataError,
    DeviceMemoryError,
    ModelError,
    OutputError,
    PaddingDependentError,
    UsageError,
)
from mixkd.shared.metrics import CLASSIFICATION, REGRESSION
from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.device import memory_for
from mixkd.teacher_cache import training
from mixkd.teacher_cache.finetune import Finetuned, FinetuneOptions, finetune
from mixkd.teacher_cache.remembered import read_memory
from mixkd.teacher_cache.teacher import Teacher
from tests import miniature
from tests.hub.cards import check_card


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A pretrained model without a head, as people start from."""
    return miniature.tiny_teacher(tmp_path / "encoder", head=False)


def tuned(data: Path, model: Path, out: Path, **more: Any) -> Finetuned:
    settings: dict[str, Any] = {"epochs": 12, "learning_rate": 3e-3, "max_length": 32, **more}
    return finetune(
        FinetuneOptions(task="mood", data=str(data), model=str(model), out=out, **settings)
    )


@pytest.mark.parametrize(
    ("family", "classes", "pairs"),
    [("bert", 2, False), ("mpnet", 3, True), ("deberta-v2", 2, True), ("roberta", 1, True)],
)
def test_a_teacher_learns_and_is_saved_whole(
    tmp_path: Path, family: str, classes: int, pairs: bool
) -> None:
    from transformers import AutoConfig, pipeline

    data = miniature.tiny_data(tmp_path / "data", 240, classes, pairs)
    names = miniature.label_names(classes)
    (data / "label_names.txt").write_text("\n".join(names) if classes > 1 else "")
    encoder = miniature.tiny_teacher(
        tmp_path / "encoder", family, head=False, initializer_range=0.1
    )
    done = tuned(data, encoder, tmp_path / "teachers" / "mood")
    assert done.metric == ("pearson" if classes == 1 else "accuracy")
    assert done.scores["validation"][done.metric] > 0.8
    config = AutoConfig.from_pretrained(done.out)
    assert tuple(config.id2label.values()) == names
    assert config.problem_type == (REGRESSION if classes == 1 else CLASSIFICATION)
    assert (done.out / "model.safetensors").is_file()
    assert [path.name for path in done.out.parent.iterdir()] == ["mood"]
    record = json.loads((done.out / "metrics.json").read_text())
    assert record["validation"] == done.scores
    card = (done.out / "README.md").read_text(encoding="utf-8")
    assert check_card(card, "model")["model-index"][0]["name"] == "teacher for mood"
    assert "cache-teacher finetune --task mood --model encoder --data data" in card
    assert str(tmp_path) not in (done.out / "metrics.json").read_text() + card
    if classes == 2 and not pairs:
        assert pipeline("text-classification", str(done.out))("a dull film")[0]["label"] == "dull"


def test_what_was_saved_gives_the_scores_that_were_printed(
    tmp_path: Path, data: Path, encoder: Path
) -> None:
    from mixkd.shared.metrics import metrics
    from mixkd.shared.models.locate import locate
    from mixkd.shared.models.tokenizer import load_tokenizer
    from mixkd.teacher_cache.data.encode import tokenise
    from mixkd.teacher_cache.data.load import DataSpec, load
    from mixkd.teacher_cache.teacher import Teacher

    done = tuned(data, encoder, tmp_path / "teacher", epochs=2)
    checkpoint = locate(str(done.out))
    texts = load(DataSpec(task="mood", data=str(data)))
    examples = tokenise(texts, load_tokenizer(checkpoint), 32)["validation"]
    teacher = Teacher.load(checkpoint, (0, 1), mask="union", max_length=32)
    logits = teacher.score(examples.originals(range(len(examples)), teacher.pad_id))
    assert metrics(logits, examples.labels, CLASSIFICATION) == done.scores["validation"]


def test_the_same_seed_gives_the_same_teacher(tmp_path: Path, data: Path, encoder: Path) -> None:
    first, second, other = (
        tuned(data, encoder, tmp_path / name, epochs=1, seed=seed).out / "model.safetensors"
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


def test_bfloat16_learns_too(tmp_path: Path, encoder: Path) -> None:
    data = miniature.tiny_data(tmp_path / "data", 240)
    done = tuned(data, encoder, tmp_path / "teacher", dtype="bfloat16")
    assert done.scores["validation"]["accuracy"] > 0.8


def test_a_head_for_other_labels_is_replaced_and_said(
    tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher = miniature.tiny_teacher(tmp_path / "other", labels=("a", "b", "c", "d"))
    with caplog.at_level(logging.INFO, "mixkd.teacher_cache"):
        tuned(data, teacher, tmp_path / "teacher", epochs=1)
    assert "randomly initialised: classifier.bias, classifier.weight" in caplog.text


def test_an_encoder_with_missing_weights_is_refused(
    tmp_path: Path, data: Path, encoder: Path
) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(encoder / "model.safetensors")
    (lost,) = [name for name in weights if name.endswith("layer.1.output.dense.weight")]
    save_file({k: v for k, v in weights.items() if k != lost}, encoder / "model.safetensors")
    with pytest.raises(ModelError, match=r"found none for bert\.encoder\.layer\.1\.output\.dense"):
        tuned(data, encoder, tmp_path / "teacher")


def test_an_output_that_holds_something_is_left_alone(
    tmp_path: Path, data: Path, encoder: Path
) -> None:
    out = tmp_path / "teacher"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"a new or empty folder, found thesis.txt; choose"):
        tuned(data, encoder, out)
    with pytest.raises(OutputError, match=r"thesis.txt: expected a folder, found a file"):
        tuned(data, encoder, out / "thesis.txt")
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, data: Path, encoder: Path) -> None:
    out = tmp_path / "teachers" / "mood"
    with pytest.raises(ModelError, match=r"a finite loss, found nan .*--learning-rate"):
        tuned(data, encoder, out, learning_rate=1e30)
    with pytest.raises(DataError, match="a column 'verdict'"):
        tuned(data, encoder, out, label_column="verdict")
    assert not out.parent.exists() or not any(out.parent.iterdir())


def test_two_runs_in_one_folder(tmp_path: Path, data: Path, encoder: Path) -> None:
    """The second one ends at once, and what appears while the first computes is left alone."""
    out = tmp_path / "teachers" / "mood"
    real, said = training.fit, []

    def fit(*arguments: Any) -> int:
        with pytest.raises(OutputError) as refused:
            tuned(data, encoder, out)
        said.append(str(refused.value))
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fit", fit)
        with pytest.raises(OutputError, match=r"a new or empty folder, found thesis.txt; choose"):
            tuned(data, encoder, out, epochs=1)
    assert said == [
        f"{out}: expected a folder that no other run writes, found a run that is going on; "
        "wait until it has ended, or choose another --out"
    ]
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    (out / "thesis.txt").unlink()
    (out.parent / ".mood.unfinished" / "teacher").mkdir(parents=True)  # of a killed run
    assert tuned(data, encoder, out, epochs=1).out == out
    assert [path.name for path in out.parent.iterdir()] == ["mood"]


@pytest.mark.parametrize("letters", [250, 300])
def test_a_name_that_is_too_long(tmp_path: Path, data: Path, encoder: Path, letters: int) -> None:
    with pytest.raises(OutputError, match=r"found (a name of \d+ bytes|File name too long)"):
        tuned(data, encoder, tmp_path / ("x" * letters))


def test_files_that_cannot_be_written(tmp_path: Path, data: Path, encoder: Path) -> None:
    """Written by libraries in other languages, with errors of their own."""
    out = tmp_path / "teachers" / "mood"
    real = training.fit
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fit(*arguments: Any) -> int:
        steps = real(*arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        return steps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fit", fit)
        try:
            with pytest.raises(
                OutputError, match="expected to write the teacher, found .*too larg"
            ):
                tuned(data, encoder, out, epochs=1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(out.parent.iterdir()) == []


def test_memory_that_is_full_in_validation_names_an_option(
    tmp_path: Path, data: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def full(self: Teacher, batch: MixBatch) -> Any:
        seen.append(len(batch.lam))
        with memory_for("a batch", torch.device("cpu"), "try --batch-tokens 7"):
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Teacher, "score", full)
    with pytest.raises(DeviceMemoryError, match="found out of memory; use --batch-size 4"):
        tuned(data, encoder, tmp_path / "teacher", epochs=1, batch_size=8)
    assert seen == [16]


def test_a_model_that_a_cache_could_not_use_is_refused_before_training(
    tmp_path: Path, data: Path
) -> None:
    decoder = miniature.tiny_teacher(tmp_path / "decoder", "gpt2")
    with pytest.raises(PaddingDependentError, match="logits depend on padding"):
        tuned(data, decoder, tmp_path / "teacher")
    with pytest.raises(ModelError, match="no such folder"):
        tuned(data, tmp_path / "missing", tmp_path / "teacher")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"--epochs: expected a number from 1 to 2\^53, found 0"),
        ({"batch_size": 0}, r"--batch-size: expected a number from 1 to 2\^53"),
        ({"learning_rate": 0.0}, "--learning-rate: expected a number above 0"),
        ({"learning_rate": float("nan")}, "--learning-rate: expected a number above 0"),
        ({"dtype": "float16"}, "--dtype: expected one of auto, float32, bfloat16"),
        ({"seed": -1}, r"--seed: expected a number from 0 to 2\^53"),
        ({"seed": 2**53 + 1}, r"--seed: expected a number from 0 to 2\^53"),
        ({"max_length": 0}, r"--max-length: expected a number from 1 to 2\^53, found 0"),
        ({"task": "mood"}, "--task: expected one of cola"),
        ({"subset": 2.0}, "--subset: expected a part"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        FinetuneOptions(**{"task": "rte", "model": "m", **options})


def test_the_output_is_named_after_the_task() -> None:
    assert FinetuneOptions(task="rte", model="m").out_folder == Path("teachers/rte")


def test_a_short_tokenizer_sets_the_length(tmp_path: Path, encoder: Path) -> None:
    """Its 64 tokens are less than the usual 128; the builds from this teacher are told."""
    data = miniature.tiny_data(tmp_path / "data", 24)
    done = tuned(data, encoder, tmp_path / "mood", epochs=1, max_length=None)
    memory = read_memory(done.out)
    assert memory is not None and memory.max_length == 64
    assert json.loads((done.out / "metrics.json").read_text())["course"]["max_length"] == 64
