"""Builds that are refused: another cache, damage, bad input, teachers that cannot teach."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from mixkd.shared.errors import (
    DamagedFileError,
    DataError,
    DifferentCacheError,
    LabelOrderError,
    MixkdError,
    ModelError,
    OutputError,
    UntrainedHeadError,
    UsageError,
    WeakTeacherError,
)
from mixkd.teacher_cache.finetune import FinetuneOptions
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.prepare import prepare
from mixkd.teacher_cache.teacher import Teacher
from tests.miniature import label_names, tiny_data, tiny_teacher
from tests.teacher_cache.tiny import build, manifest


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
    ["examples/train.arrow", "tokenizer/tokenizer.json", "student_init/layers-0/*.safetens*"],
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
        bad(UsageError, "--batch-tokens: expected a number from 1", batch_tokens=-(10**19)),
        bad(UsageError, "--shard-rows: expected a number from 1", shard_rows=0),
        bad(UsageError, "--shard-rows: expected a number from 1", shard_rows=10**19),
        bad(UsageError, r"--pairs: .*from 0 to 2\^53, found 100000", pairs=10**19, dry_run=True),
        bad(UsageError, "--pairs: expected at most 2097056 pairs", pairs=2097057, dry_run=True),
        bad(UsageError, "--subset: expected a part above 0", subset=1.5),
        bad(UsageError, "--subset: expected a part above 0", subset=0.0),
        bad(UsageError, "--subset: expected a part above 0", subset=float("nan")),
        bad(UsageError, "--beta: expected a number in", beta=float("nan")),
        bad(UsageError, "--student-layers: expected a number from 1", student_layers=(3, 0)),
        bad(UsageError, "--student-layers: expected a number from 1", student_layers=(-1,)),
        bad(UsageError, "--min-teacher-score: .*found nan", min_teacher_score=float("nan")),
        bad(UsageError, "--min-teacher-score: .*found inf", min_teacher_score=float("inf")),
        bad(UsageError, "--time-limit: expected a duration, found nan", time_limit_s=float("nan")),
        bad(UsageError, "--time-limit: expected a duration, found inf", time_limit_s=float("inf")),
        bad(UsageError, "--time-limit: expected a duration, found -1", time_limit_s=-1.0),
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


@pytest.mark.parametrize("task", ["../../x", "/tmp/x", "..", ".", "", "a/b", "a\\b", "a\0b"])
def test_a_task_does_not_lead_out_of_the_default_folder(tmp_path: Path, task: str) -> None:
    expected = "--task: expected a plain name, since it names the folder"
    with pytest.raises(UsageError, match=f"{expected} shards/TASK.*say --out FOLDER"):
        BuildOptions(task=task, pairs=1, data="here")
    with pytest.raises(UsageError, match=f"{expected} teachers/TASK"):
        FinetuneOptions(task=task, model="m", data="here")
    assert BuildOptions(task=task, pairs=1, data="here", out=tmp_path).root == tmp_path
    assert FinetuneOptions(task=task, model="m", data="d", out=tmp_path).out_folder == tmp_path
