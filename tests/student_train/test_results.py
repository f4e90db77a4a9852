"""metrics.json: its keys are a promise, and it is read back into what the run returned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from mixkd.shared.errors import MalformedError, MissingFileError
from mixkd.student_train.card import model_card
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.results import TrainResult, read_metrics
from mixkd.student_train.train import train

KEYS = """task metric split score teacher_score verdict kept best metrics teacher_metrics history
 student speed teacher_speed seconds steps planned_steps mixes_trained pairs_seen pairs_in_cache
 seal caches settings versions card""".split()
SETTINGS = """layers method alpha_mle alpha_sm alpha_tmkd alpha_kd distance temperature mix_ratio
epochs batch_size learning_rate warmup weight_decay seed device dtype max_length mask processes
device_used dtype_used eval_steps keep patience max_steps scheduler gradient_accumulation""".split()


@pytest.fixture(scope="module")
def student(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    out = tmp_path_factory.mktemp("results") / "student"
    result = train(TrainOptions((cache,), weights={"kd": 0.5}, epochs=2, device="cpu", out=out))
    assert result is not None
    return out, result


def test_metrics_json_has_its_keys_and_is_read_back(student: tuple[Path, TrainResult]) -> None:
    out, result = student
    found = json.loads((out / "metrics.json").read_text())
    assert list(found) == KEYS
    assert list(found["settings"]) == SETTINGS
    assert list(found["student"]) == [
        *("start", "model_type", "parameters", "problem_type", "labels")
    ]
    assert list(found["caches"][0]) == ["name", "fingerprint", "seal", "teacher"]
    assert list(found["kept"]) == list(found["best"]) == ["step", "epoch"]
    assert [list(entry) for entry in found["history"]] == [["step", "epoch", "metrics"]] * 2
    assert [entry["step"] for entry in found["history"]] == [2, 4]
    assert [entry["epoch"] for entry in found["history"]] == [1.0, 2.0]
    assert found["speed"]["parameters"] == found["student"]["parameters"]
    assert found["teacher_speed"] is None, "the cache was built without a command"
    assert found["settings"]["alpha_kd"] == 0.5
    assert found == result.to_json()
    assert read_metrics(out) == result


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": "10"}, "Expected `int`, got `str`"),
        ({"settings": None}, "missing required field"),
        ({"metrics": {"validation": {"accuracy": "high"}}}, "Expected `float`, got `str`"),
        ({"history": [{"step": 1, "epoch": 1}]}, "missing required field `metrics`"),
    ],
)
def test_files_that_no_run_writes(
    student: tuple[Path, TrainResult], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(student[1].to_json() | changes))
    with pytest.raises(MalformedError, match=f"metrics.json: expected .*{message}"):
        read_metrics(tmp_path)


def test_no_metrics(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="expected a finished student, found nothing"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text("[" * 10_000)
    with pytest.raises(MalformedError, match="expected what train-student writes"):
        read_metrics(tmp_path)


def test_the_card_says_what_the_run_found(student: tuple[Path, TrainResult]) -> None:
    out, result = student
    card = ModelCard.load(out / "README.md")
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.tags == ["knowledge-distillation", "mixkd"]
    assert str(card) == str(model_card(result))
    validation = result.metrics["validation"]
    for text in (
        "# A student for tiny",
        "- labels: dull, bright",
        "with the method `mixkd`",
        f"| validation accuracy | {result.teacher_metrics['validation']['accuracy']:.4f} "
        f"| {validation['accuracy']:.4f} |",
        f"| validation teacher kl |  | {validation['teacher_kl']:.4f} |",
        f"Cache seal `{result.seal[:12]}`",
    ):
        assert text in card.text
