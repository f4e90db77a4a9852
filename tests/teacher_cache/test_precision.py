"""The number format of the teacher's pass: measured, chosen, refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mixkd.shared.errors import LogitsError, UsageError
from mixkd.shared.metrics import MULTI_LABEL
from mixkd.teacher_cache import precision
from tests.teacher_cache.loaded import load, saved, some_examples

CPU = torch.device("cpu")
FULL = np.array([[1.0, 0.98], [0.0, 0.15]], np.float32)  # a tie and a decision


def test_a_lower_format_is_measured_and_used(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    teacher = load(checkpoint)
    batch = some_examples(checkpoint).originals(np.arange(4), teacher.pad_id)
    full = teacher.score(batch)
    difference = teacher.choose_dtype("bfloat16", batch)
    assert teacher.dtype == "bfloat16"
    assert 0 < difference < 0.5
    assert np.abs(teacher.score(batch) - full).max() == pytest.approx(difference)
    assert teacher.choose_dtype("float32", batch) == 0
    np.testing.assert_array_equal(teacher.score(batch), full)


def test_an_unknown_format_is_a_usage_error(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    with pytest.raises(UsageError, match="--dtype: expected auto, float32"):
        load(checkpoint).choose_dtype("int8", some_examples(checkpoint).originals([0], 0))


@pytest.mark.parametrize(
    ("change", "chosen", "said"),
    [
        (0.05, "bfloat16", "up to 0.05, flips 0 of 2 answers: bfloat16 is used"),
        (0.2, "float32", "up to 0.2, flips 0 of 2 answers: float32 is used"),
        ([[0, 0.03], [0, 0]], "bfloat16", "up to 0.03, flips 0 of 2 answers: bfloat16"),
        ([[0, 0], [0.08, -0.08]], "float32", "up to 0.08, flips 1 of 2 answers: float32"),
        (np.nan, "float32", "up to inf"),
    ],
    ids=["close", "far", "a tie flips", "an answer flips", "not finite"],
)
def test_auto_falls_back_to_float32_and_says_so(
    change: Any,
    chosen: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(precision, "native_format", lambda device: "bfloat16")
    logits = {"float32": FULL, "bfloat16": (FULL + np.array(change)).astype(np.float32)}
    with caplog.at_level("INFO"):
        dtype, difference = precision.choose_dtype("auto", CPU, logits.__getitem__)
    assert dtype == chosen
    assert (difference > 0) == (chosen == "bfloat16")
    assert said in caplog.text


def test_numbers_flip_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "native_format", lambda device: "bfloat16")
    logits = {"float32": FULL[:, :1], "bfloat16": FULL[:, :1] + 0.05}
    assert precision.choose_dtype("auto", CPU, logits.__getitem__)[0] == "bfloat16"


def test_of_multi_label_a_sign_that_changes_is_a_flip(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The largest logit may change, as long as each stays on its side of 0."""
    monkeypatch.setattr(precision, "native_format", lambda device: "bfloat16")
    full = np.array([[1.0, 0.98], [-0.04, 0.05]], np.float32)  # of the second row both are ties
    changes = {"bfloat16": ([[-0.03, 0.03], [0.09, -0.09]], 0), "float32": ([[-1.2, 0], [0, 0]], 1)}
    for chosen, (change, flips) in changes.items():
        logits = {"float32": full, "bfloat16": full + np.array(change, np.float32)}
        with caplog.at_level("INFO"):
            found = precision.choose_dtype("auto", CPU, logits.__getitem__, MULTI_LABEL)
        assert found[0] == chosen and f"flips {flips} of 4 answers" in caplog.text


def test_auto_tries_the_format_that_the_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "native_format", lambda device: "float16")
    logits = {"float32": FULL, "float16": FULL + np.float32(0.01)}
    assert precision.choose_dtype("auto", CPU, logits.__getitem__)[0] == "float16"
    monkeypatch.setattr(precision, "native_format", lambda device: "float32")
    assert precision.choose_dtype("auto", CPU, lambda dtype: FULL) == ("float32", 0.0)


def test_a_format_that_overflows_is_refused_if_asked_for() -> None:
    logits = {"float32": FULL, "float16": np.full_like(FULL, np.inf)}
    with pytest.raises(LogitsError, match=re.escape("--dtype: expected finite logits in float16")):
        precision.choose_dtype("float16", CPU, logits.__getitem__)
