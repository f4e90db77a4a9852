"""Options are checked when they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.errors import UsageError
from mixkd.student_train.options import TrainOptions

CACHE = (Path("shards/rte"),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cache": ()}, "--cache: expected a folder, found none"),
        ({"student": "a", "layers": 3}, "--layers: expected --student or --layers, found both"),
        ({"method": "magic"}, "--method: expected one of ft, kd, sm, tmkd, mixkd, found magic"),
        ({"distance": "l1"}, "--distance: expected one of mse, kl, ce, found l1"),
        ({"device": "tpu"}, "--device: expected one of auto, cpu, cuda, mps, found tpu"),
        ({"dtype": "int8"}, "--dtype: expected one of"),
        ({"epochs": 0}, "--epochs: expected a number from 1 to 1,000,000, found 0"),
        ({"epochs": 10**12}, "--epochs: expected a number from 1 to 1,000,000, found 10000"),
        ({"epochs": 10**400}, "--epochs: expected a number from 1 to 1,000,000, found 1000"),
        ({"batch_size": -1}, "--batch-size: expected a number from 1 to 1,048,576, found -1"),
        ({"batch_size": 10**9}, "--batch-size: expected a number from 1 to 1,048,576"),
        ({"batch_size": 2**20}, "--batch-size: expected at most 1,048,576 originals and mixes"),
        ({"checkpoint_steps": 0}, "--checkpoint-steps"),
        ({"log_steps": 0}, "--log-steps"),
        ({"eval_steps": 0}, "--eval-steps: expected a number from 1 to"),
        ({"patience": 0}, "--patience: expected a number from 1 to"),
        ({"max_steps": 0}, "--max-steps: expected a number from 1 to"),
        ({"gradient_accumulation": 0}, "--gradient-accumulation: expected a number from 1 to"),
        ({"max_length": 0}, "--max-length: expected a number from 1 to"),
        ({"keep": "first"}, "--keep: expected one of best, last, found first"),
        ({"scheduler": "step"}, "--scheduler: expected one of linear, cosine, constant, constant_"),
        ({"layers": 0}, "--layers: expected a number from 1 on"),
        ({"temperature": 0.0}, "--temperature: expected a number above 0, found 0"),
        ({"learning_rate": float("nan")}, "--learning-rate: expected a number above 0, found nan"),
        ({"learning_rate": float("inf")}, "--learning-rate"),
        ({"weight_decay": -0.1}, "--weight-decay: expected a number from 0 on"),
        ({"warmup": 1.5}, "--warmup: expected a share from 0 to 1, found 1.5"),
        ({"seed": -1}, "--seed: expected a number from 0"),
        ({"weights": {"sm": -1.0}}, "--alpha-sm: expected a weight from 0 on, found -1"),
        ({"weights": {"magic": 1}}, "weights.*: expected one of mle, sm, tmkd, kd, found magic"),
        (
            {"method": "ft", "weights": {"mle": 0.0}},
            "at least one weight above 0, found only zeros",
        ),
        ({"mix_ratio": 0.0}, "--mix-ratio: expected a number above 0"),
        ({"mix_ratio": -1.0}, "--mix-ratio: expected a number from 0 to 1,000, found -1"),
        ({"mix_ratio": 1e300}, "--mix-ratio: expected a number from 0 to 1,000, found 1e.300"),
        ({"mix_ratio": float("inf")}, "--mix-ratio: expected a number from 0 to 1,000"),
    ],
)
def test_bad_options(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as failure:
        TrainOptions(**{"cache": CACHE, **changes})
    assert failure.value.exit_code == 2


def test_weights_given_explicitly_replace_the_methods() -> None:
    options = TrainOptions(CACHE, method="mixkd", weights={"tmkd": 0.5, "kd": 2})
    assert options.all_weights == {"mle": 1, "sm": 1, "tmkd": 0.5, "kd": 2}


def test_no_mixes_are_fine_where_no_term_needs_them() -> None:
    assert TrainOptions(CACHE, method="kd", mix_ratio=0).all_weights["kd"] == 1


def test_the_output_is_named_after_the_cache() -> None:
    assert TrainOptions(CACHE).out_folder == Path("students/rte")
    assert TrainOptions(CACHE, out=Path("x")).out_folder == Path("x")


def test_settings_name_no_path() -> None:
    settings = TrainOptions((Path("/secret/rte"),), out=Path("/secret/out")).settings()
    assert "secret" not in str(settings)
    assert settings["alpha_mle"] == 1


def test_types_of_models_are_allowed_one_by_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mixkd.student_train import train
    from mixkd.student_train.cli import train_student

    seen: list[TrainOptions] = []
    monkeypatch.setattr(train, "train", seen.append)
    allowed = ["--allow-model-type", "camembert", "--allow-model-type", "deberta"]
    arguments = [str(tmp_path), "--out", str(tmp_path / "out"), *allowed]
    train_student.main(arguments, standalone_mode=False)
    assert seen[0].allow_model_type == ("camembert", "deberta")
    assert "allow_model_type" not in seen[0].settings()


def test_the_command_can_be_run_again_and_names_no_tracker() -> None:
    tracked: dict[str, Any] = {"track": ("wandb",), "run_name": "mine", "tags": ("a", "b")}
    options = TrainOptions("shards/rte", layers=(0, 2, 5), **tracked)
    assert options.command == "train-student --cache shards/rte --layers 0-2-5"
