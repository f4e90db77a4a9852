"""Whole builds with a real small teacher: continue, extend, limits, bad input in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import (
    DamagedFileError,
    DataError,
    DifferentCacheError,
    LabelOrderError,
    LogitsError,
    MixkdError,
    ModelError,
    OutputError,
    UnsealedError,
    UntrainedHeadError,
    UsageError,
    WeakTeacherError,
)
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.prepare import prepare
from mixkd.teacher_cache.run import build_cache
from mixkd.teacher_cache.teacher import Teacher
from mixkd.teacher_cache.verify import verify_claims
from tests.caches import seal
from tests.miniature import label_names, tiny_data, tiny_teacher


@pytest.fixture
def options(tmp_path: Path, good_teacher: Path, data: Path) -> dict[str, Any]:
    """Options of a build that works: 48 train and 24 validation rows, shards of 32."""
    return {
        "task": "tiny",
        "pairs": 100,
        "teacher": str(good_teacher),
        "data": str(data),
        "out": tmp_path / "cache",
        "shard_rows": 32,
        "dtype": "float32",
    }


def build(options: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = build_cache(BuildOptions(**{**options, **changes}))
    assert found is not None
    return found.to_json()


def manifest(options: dict[str, Any]) -> bytes:
    return (options["out"] / "MANIFEST.json").read_bytes()


def test_a_build_says_what_it_did(options: dict[str, Any]) -> None:
    found = build(options)
    assert (found["originals"], found["pairs"]) == (72, 100)
    assert found["run"]["rows"] == 172
    assert found["scores"]["validation"]["accuracy"] > 0.9
    assert list(found["student_layers"]) == [1]
    assert sum(b["pairs"] for b in found["mixing"]) == 100
    assert verify_cache(options["out"], deep=True) == []


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


def test_a_time_limit_seals_the_complete_part(options: dict[str, Any]) -> None:
    build(options, pairs=0)
    found = build(options, time_limit_s=1e-9)
    assert not found["run"]["complete"]
    assert found["pairs"] < 100
    assert build(options)["pairs"] == 100


def test_texts_can_be_left_out(options: dict[str, Any]) -> None:
    build(options, text=False)
    assert Cache.open(options["out"]).examples().text_a is None


def test_an_object_of_datasets_makes_the_same_cache(
    options: dict[str, Any], tmp_path: Path
) -> None:
    import datasets

    from mixkd.teacher_cache.data.files import read_file

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


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"beta": 1.0}, "mixup.beta 1.0"),
        ({"mask": "heavier"}, "mixup.mask heavier"),
        ({"seed": 7}, "mixup.seed 7"),
        ({"max_length": 8}, "max_length 8"),
        ({"shard_rows": 16}, "shard_rows 16"),
        ({"format": "hdf5"}, "format hdf5"),
        ({"logits_dtype": "float16"}, "logits_dtype float16"),
        ({"subset": 0.5}, "splits.train.rows 24"),
        ({"teacher_labels": (1, 0)}, "teacher.columns"),
    ],
)
def test_another_cache_is_refused_before_the_teacher_loads(
    options: dict[str, Any],
    changes: dict[str, Any],
    fields: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build(options)
    before = manifest(options)

    def load(*args: Any, **more: Any) -> None:
        raise AssertionError("the teacher was loaded")

    monkeypatch.setattr(Teacher, "load", load)
    with pytest.raises(DifferentCacheError, match=fields) as told:
        build(options, pairs=200, **changes)
    assert "\n" not in str(told.value)
    assert manifest(options) == before


@pytest.mark.parametrize(
    "name",
    ["examples/train.arrow", "tokenizer/tokenizer.json", "student_init/1-layers/*.safetens*"],
)
def test_a_damaged_cache_is_not_extended(
    options: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next seal would call the damage sound; it is found before the teacher loads."""
    build(options)
    before = manifest(options)
    (file,) = Path(options["out"]).glob(name)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    monkeypatch.delattr(Teacher, "load")
    for changes in ({}, {"data": None}):
        with pytest.raises(DamagedFileError, match="expected sha256"):
            build(options, pairs=200, **changes)
    assert manifest(options) == before


def test_one_changed_character_is_refused(options: dict[str, Any]) -> None:
    build(options)
    file = Path(options["data"]) / "train.tsv"
    lines = file.read_text().splitlines()
    lines[3] = "x" + lines[3]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(DifferentCacheError, match=r"splits\.train\.texts_sha256"):
        build(options)


def test_a_weak_teacher_leaves_no_cache(options: dict[str, Any], tmp_path: Path) -> None:
    weak = tiny_teacher(tmp_path / "weak", "bert", label_names(2), initializer_range=0.001)
    with pytest.raises(WeakTeacherError, match="majority class.*--min-teacher-score 0"):
        build(options, teacher=str(weak))
    assert not options["out"].exists()
    assert build(options, teacher=str(weak), min_teacher_score=0.0)["pairs"] == 100
    with pytest.raises(WeakTeacherError, match=r"expected 1\.1 or more"):
        build(options, out=tmp_path / "other", min_teacher_score=1.1)


def test_permuted_labels_are_named(options: dict[str, Any], tmp_path: Path) -> None:
    """A teacher whose names say nothing and whose columns are swapped."""
    swapped = shutil.copytree(options["teacher"], tmp_path / "swapped")
    config = json.loads((swapped / "config.json").read_text())
    config["id2label"] = {"0": "LABEL_0", "1": "LABEL_1"}
    config["label2id"] = {"LABEL_0": 0, "LABEL_1": 1}
    (swapped / "config.json").write_text(json.dumps(config))
    for split in ("train", "validation"):
        file = Path(options["data"]) / f"{split}.tsv"
        rows = [line.split("\t") for line in file.read_text().splitlines()]
        rows[1:] = [[text, str(1 - int(label))] for text, label in rows[1:]]
        file.write_text("".join("\t".join(row) + "\n" for row in rows))
    with pytest.raises(WeakTeacherError, match="try --teacher-labels 1,0$"):
        build(options, teacher=str(swapped))
    found = build(options, teacher=str(swapped), teacher_labels=(1, 0))
    assert found["scores"]["validation"]["accuracy"] > 0.9


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


def bad(error: type[MixkdError], match: str, **changes: Any) -> Any:
    return pytest.param(error, match, changes, id=match[:40])


@pytest.mark.parametrize(
    ("error", "match", "changes"),
    [
        bad(UsageError, r"--pairs: expected a number from 0 to 2\^53, found -1", pairs=-1),
        bad(UsageError, r"--pairs: .*from 0 to 2\^53, found 9", pairs=2**53 + 1),
        bad(UsageError, r"--seed: expected a number from 0 to 2\^53, found", seed=2**53 + 1),
        bad(UsageError, "--beta: expected a number in", beta=0.0),
        bad(UsageError, "--format: expected one of arrow, hdf5", format="parquet"),
        bad(UsageError, "--mask: expected one of union, heavier", mask="both"),
        bad(UsageError, "--logits-dtype: expected one of", logits_dtype="int8"),
        bad(UsageError, "--dtype: expected one of auto, float32", dtype="int8"),
        bad(UsageError, "--device: expected auto, cpu, cuda or mps", device="tpu"),
        bad(UsageError, "--max-length: expected a number from 1", max_length=0),
        bad(UsageError, "--batch-tokens: expected a number from 1", batch_tokens=0),
        bad(UsageError, "--shard-rows: expected a number from 1", shard_rows=0),
        bad(UsageError, "--subset: expected a part above 0", subset=1.5),
        bad(UsageError, "--task: expected one of cola", task="unheard", data=None),
        bad(UsageError, "--teacher: expected a fine-tuned model", teacher=None),
        bad(DataError, "expected a file or folder, found none", data="./absent"),
        bad(DataError, "--text-columns", text_columns=("absent",)),
        bad(DataError, "label", label_names=("only",)),
        bad(ModelError, "expected", teacher="./absent"),
        bad(ModelError, "expected", student_layers=(9,)),
    ],
)
def test_bad_input_is_told_in_one_line(
    options: dict[str, Any], error: type[MixkdError], match: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(error, match=match) as told:
        build(options, **changes)
    assert "\n" not in str(told.value)
    assert not options["out"].exists()


def test_teachers_that_cannot_teach(options: dict[str, Any], tmp_path: Path) -> None:
    three = tiny_teacher(tmp_path / "three", "bert", label_names(3))
    with pytest.raises(LabelOrderError, match="three"):
        build(options, teacher=str(three))
    headless = tiny_teacher(tmp_path / "headless", "bert", label_names(2), head=False)
    with pytest.raises(UntrainedHeadError, match="headless"):
        build(options, teacher=str(headless))
    regression = tiny_teacher(tmp_path / "regression", "bert", label_names(2), "regression")
    with pytest.raises(ModelError, match="regression"):
        build(options, teacher=str(regression))
    file = tmp_path / "file"
    file.write_text("no folder")
    with pytest.raises(ModelError, match="folder"):
        build(options, teacher=str(file))


def test_a_tokenizer_of_more_ids_than_embeddings(options: dict[str, Any], tmp_path: Path) -> None:
    teacher = Path(shutil.copytree(options["teacher"], tmp_path / "larger"))
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    tokenizer.add_tokens([f"unheard{number}" for number in range(1000)])
    tokenizer.save_pretrained(teacher)
    with pytest.raises(ModelError, match=r"ids, up to \d+, found \d+ embeddings; call"):
        build(options, teacher=str(teacher))
    assert not options["out"].exists()


def test_outputs_that_cannot_be_written(options: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OutputError, match="expected a folder, found a file"):
        build(options, out=file)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match=r"or a cache, found thesis\.tex"):
        build(options, out=folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_one_training_example_is_too_few(options: dict[str, Any], tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "one", 1)
    with pytest.raises(DataError, match="two"):
        build(options, data=str(data))


def test_the_estimate_does_not_depend_on_a_cache(options: dict[str, Any]) -> None:
    prepared = prepare(BuildOptions(**options))
    assert prepared.writer is None
    assert prepared.target.draft.shard_format == "arrow"
    assert str(options["data"]) not in json.dumps(prepared.target.draft.about)
