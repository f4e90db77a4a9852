"""Whole builds with a real small teacher: continue, extend, limits, reruns of the teacher."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.runs import teacher_speed
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import (
    DifferentCacheError,
    LogitsError,
    UnsealedError,
    UsageError,
)
from mixkd.teacher_cache.build import create
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache
from mixkd.teacher_cache.teacher import Teacher
from mixkd.teacher_cache.verify import verify_claims
from tests.caches import seal
from tests.miniature import label_names, tiny_teacher
from tests.teacher_cache.tiny import build, manifest


def test_a_build_says_what_it_did(options: dict[str, Any]) -> None:
    found = build(options)
    assert (found["originals"], found["pairs"]) == (72, 100)
    assert found["run"]["rows"] == 172
    assert found["scores"]["validation"]["accuracy"] > 0.9
    assert [list(layers) for layers in found["starts"]] == [[0]]
    assert sum(b["pairs"] for b in found["mixing"]) == 100
    assert verify_cache(options["out"], deep=True) == []
    # The data number their classes, and the teacher names them.
    assert Cache.open(options["out"]).identity.label_names == label_names(2)


def test_a_cache_says_what_its_teacher_costs(options: dict[str, Any]) -> None:
    result = build_cache(BuildOptions(**options))
    assert result is not None and result.run is not None
    noted = teacher_speed(Path(options["out"]))
    assert noted is not None
    weights = load_file(Path(options["teacher"]) / "model.safetensors")
    assert noted.parameters == sum(weight.size for weight in weights.values())
    assert noted.latency_ms == result.run.latency_ms and 0 < result.run.latency_ms < 1000


def test_the_rate_of_a_run_counts_the_validation_splits(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are scored before there is a cache; their rows are among those that are counted."""

    def slow(*arguments: Any) -> Any:
        time.sleep(2)
        return create(*arguments)

    monkeypatch.setattr("mixkd.teacher_cache.run.create", slow)
    assert build(options)["run"]["seconds"] > 2


def test_an_interrupted_build_continues_to_the_same_bytes(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(options, out=tmp_path / "whole")
    scored = Teacher.score
    calls = 0

    def fail(self: Teacher, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return scored(self, batch)

    monkeypatch.setattr(Teacher, "score", fail)
    with pytest.raises(KeyboardInterrupt):
        build(options, batch_tokens=256)
    monkeypatch.setattr(Teacher, "score", scored)
    with pytest.raises(UnsealedError, match="expected a seal, found none"):
        Cache.open(options["out"])
    shutil.rmtree(options["data"])
    found = build(options, data=None, batch_tokens=8192)
    assert found["run"]["rows"] < 172
    whole = Cache.open(tmp_path / "whole")
    continued = Cache.open(options["out"])
    assert continued.identity == whole.identity
    for left, right in zip(whole.seal.shards, continued.seal.shards, strict=True):
        np.testing.assert_allclose(
            whole.read(left)["logits"], continued.read(right)["logits"], atol=1e-5
        )


def test_more_pairs_need_no_data_and_compute_only_the_new_ones(options: dict[str, Any]) -> None:
    build(options)
    before = Cache.open(options["out"]).pair_records
    shutil.rmtree(options["data"])
    found = build(options, data=None, pairs=160)
    assert found["run"]["rows"] == 60
    records = Cache.open(options["out"]).pair_records
    assert records[: len(before)] == before
    assert [(r.start, r.stop) for r in records[len(before) :]] == [(100, 128), (128, 160)]


def test_a_cache_says_who_made_it_and_keeps_to_it(options: dict[str, Any]) -> None:
    credits = {"license": "mit", "author": "Jo", "language": "en"}
    build(options, pairs=4, **credits)
    assert credits.items() <= Cache.open(options["out"]).about.items()
    build(options, pairs=8, license="mit")
    with pytest.raises(UsageError, match="--author: expected what the cache in .* was built with"):
        build(options, pairs=8, author="Another")


def test_fewer_pairs_change_nothing(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    build(options)
    before = manifest(options)
    with caplog.at_level("INFO"):
        found = build(options, pairs=50)
    assert "holds 100 pairs, 50 were asked for: nothing to do" in caplog.text
    assert found["pairs"] == 100
    assert manifest(options) == before


def test_no_pairs_are_allowed(options: dict[str, Any]) -> None:
    assert build(options, pairs=0)["pairs"] == 0


def test_a_dry_run_writes_nothing(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert build_cache(BuildOptions(**options, dry_run=True)) is None
    assert "to do: 172 rows" in caplog.text
    assert not options["out"].exists()
    build(options)
    (options["out"] / "MANIFEST.json").unlink()
    assert build_cache(BuildOptions(**options, dry_run=True)) is None
    assert not (options["out"] / "MANIFEST.json").exists()


def test_a_time_limit_seals_the_complete_part(options: dict[str, Any]) -> None:
    build(options, pairs=0)
    for limit_s in (0.0, 1e-9):
        found = build(options, time_limit_s=limit_s)
        assert not found["run"]["complete"]
        assert found["pairs"] == 0
    assert build(options)["pairs"] == 100


def test_texts_can_be_left_out(options: dict[str, Any]) -> None:
    build(options, text=False)
    assert Cache.open(options["out"]).examples().text_a is None


def test_an_object_of_datasets_makes_the_same_cache(
    options: dict[str, Any], tmp_path: Path
) -> None:
    import datasets

    from mixkd.shared.data.files import read_file

    build(options)
    splits = datasets.DatasetDict()
    for name in ("train", "validation"):
        columns = read_file(Path(options["data"]) / f"{name}.tsv").columns
        splits[name] = datasets.Dataset.from_dict(
            {**columns, "label": [*map(int, columns["label"])]}
        )
    found = build(options, data=splits, out=tmp_path / "object")
    assert found["about"]["data"] == "tiny"
    assert Cache.open(tmp_path / "object").identity == Cache.open(options["out"]).identity
    assert build(options, data=splits, pairs=120)["run"]["rows"] == 20
    with pytest.raises(DifferentCacheError, match=r"splits\.train\.rows 47"):
        build(
            options,
            data=datasets.DatasetDict({**splits, "train": splits["train"].select(range(47))}),
        )


def test_a_subset_is_part_of_the_identity(options: dict[str, Any]) -> None:
    found = build(options, subset=0.5)
    assert found["splits"] == {"train": 24, "validation": 24}
    assert found["about"]["subset"] == 0.5


def test_nan_logits_name_the_rows(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    scored = Teacher.score

    def poisoned(self: Teacher, batch: Any) -> Any:
        logits = scored(self, batch)
        if (batch.lam != 1).any():
            logits[0, 0] = np.nan
        return logits

    monkeypatch.setattr(Teacher, "score", poisoned)
    with pytest.raises(LogitsError, match=r"NaN or infinity in \d+ pairs: row \d+ \(left \d+, "):
        build(options)
    monkeypatch.setattr(Teacher, "score", scored)
    assert seal(options["out"]).rows.pairs == 0


def rerun(options: dict[str, Any], teacher: str, rows: int) -> list[str]:
    found = verify_claims(options["out"], teacher=teacher, rows=rows, device="cpu")
    return [finding.message for finding in found.findings]


def test_a_rerun_of_the_teacher_finds_other_logits(
    options: dict[str, Any], good_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(options)
    assert rerun(options, str(good_teacher), 50) == []
    other = tiny_teacher(tmp_path / "other", "bert", label_names(2))
    [message] = rerun(options, str(other), 50)
    assert "name the one the cache was made with" in message
    scored = Teacher.score
    monkeypatch.setattr(Teacher, "score", lambda self, batch: scored(self, batch) + 0.01)
    messages = rerun(options, str(good_teacher), 172)
    assert len(messages) == len(Cache.open(options["out"]).seal.shards)
    assert sum(int(message.split(" of ")[1].split(" rows")[0]) for message in messages) == 172


def test_a_rerun_needs_positions_for_the_examples_only(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """As the build does: RoBERTa's 78 positions are fewer than --max-length, and enough."""
    teacher = tiny_teacher(tmp_path / "roberta", "roberta", label_names(2))
    config = json.loads((teacher / "tokenizer_config.json").read_text())
    config["model_max_length"] = 512
    (teacher / "tokenizer_config.json").write_text(json.dumps(config))
    build(options, teacher=str(teacher), min_teacher_score=0.0)
    assert Cache.open(options["out"]).identity.max_length == 128
    assert rerun(options, str(teacher), 1000) == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_lower_format_verifies_within_its_tolerance(options: dict[str, Any], dtype: str) -> None:
    build(options, dtype=dtype, logits_dtype="float16")
    assert rerun(options, options["teacher"], 1000) == []  # all rows
