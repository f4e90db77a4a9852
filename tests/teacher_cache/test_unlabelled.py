"""From data with few labels, or none, to a cache and its students, as users type it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from click.testing import CliRunner

from mixkd.shared.cache.reader import Cache
from mixkd.student_train.cli import train_student
from mixkd.teacher_cache.cli import cache_teacher
from mixkd.teacher_cache.data.load import DataSpec
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache
from mixkd.teacher_cache.verify import verify_claims
from tests.commands import run

BUILD = "--pairs 30 --shard-rows 32 --dtype float32 --device cpu"


def test_a_tenth_with_labels_and_the_rest_without(
    data: Path, good_teacher: Path, tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    more = tmp_path / "more.csv"
    more.write_text("sentence\nthe film seems dull\nthat song is bright\n", encoding="utf-8")
    rows = "--subset 0.1 --unlabelled rest"
    command = f"cache-teacher --task tiny --data {data} --teacher {good_teacher} --out {root}"
    run(f"{command} {BUILD} {rows} --unlabelled {more}")
    cache = Cache.open(root)
    train = cache.examples()
    assert (len(train), int(train.labelled.sum())) == (50, 4)
    assert "50 train (4 labelled), 24 validation" in repr(cache)
    assert "| train | 50 (4 labelled) |" in (root / "README.md").read_text(encoding="utf-8")
    facts = json.loads(run(f"cache-teacher info {root} --json"))
    assert facts["labelled"] == {"train": 4, "validation": 24}
    assert facts["splits"]["train"] == 50
    assert "examples     50 train (4 labelled), 24 validation" in run(f"cache-teacher info {root}")
    assert cache.to_dataset()["label"].count(-1) == 46

    found = run(f"cache-teacher verify {root} --deep --data {data}").splitlines()
    note = "not checked, labels: each text has this label in the data (2 unlabelled texts are not "
    assert any(line.startswith(note) for line in found)
    assert found[-1] == f"{root}: in order"
    whole = run(f"cache-teacher verify {root} --deep --data {data} {rows[13:]} --unlabelled {more}")
    assert "not checked, labels" not in whole

    for method in ("ft", "kd", "mixkd"):
        out = tmp_path / method
        settings = f"--epochs 1 --batch-size 16 --device cpu --method {method}"
        run(f"train-student --cache {root} --out {out} {settings}")
        assert (out / "metrics.json").exists()

    # The same command continues it; other rows are another cache.
    run(f"{command} {BUILD} {rows} --unlabelled {more}")
    refused = CliRunner().invoke(cache_teacher, f"{command[14:]} {BUILD} {rows}".split())
    assert refused.exit_code == 1
    assert "splits.train.rows 48 (there: 50)" in str(refused.exception)


def test_train_data_without_labels(options: dict[str, Any], data: Path, tmp_path: Path) -> None:
    lines = (data / "train.tsv").read_text(encoding="utf-8").splitlines()
    bare = "".join(line.split("\t")[0] + "\n" for line in lines)
    (data / "train.tsv").write_text(bare, encoding="utf-8")
    extra = datasets.Dataset.from_dict({"sentence": ["the film is dull"]})
    result = build_cache(BuildOptions(**options, unlabelled=(extra,)))
    assert result is not None
    assert result.cache.labelled == {"train": 0, "validation": 24}
    assert list(result.cache.scores) == ["validation"]
    root = options["out"]
    spec = DataSpec("data", str(data), unlabelled=(extra,))
    found = verify_claims(root, deep=True, data=spec)
    assert (found.wrong, [item.claim for item in found.unchecked if item.claim == "labels"]) == (
        (),
        [],
    )
    arguments = ["--cache", str(root), "--out", str(tmp_path / "ft"), "--method", "ft"]
    refused = CliRunner().invoke(train_student, [*arguments, "--device", "cpu"])
    assert "which --method ft needs, found none that has one" in str(refused.exception)
    assert not (tmp_path / "ft" / "metrics.json").exists()


def test_augmented_texts_are_labelled_rows_of_the_cache(
    options: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    aside = tmp_path / "aside.tsv"
    texts = "the film is very bright\t1\nthe film is very dull\t2\n"
    aside.write_text("sentence\tsource\n" + texts, encoding="utf-8")
    given = {**options, "pairs": 0, "augmented": (str(aside),)}
    result = build_cache(BuildOptions(**given))
    assert result is not None
    assert result.cache.labelled["train"] == result.cache.splits["train"] == 50
    train = Cache.open(options["out"]).examples()
    assert train.labels[48:].tolist() == train.labels[[1, 2]].tolist()
    spec = DataSpec("data", str(data))
    (finding,) = verify_claims(options["out"], data=spec).wrong
    assert "found 2 others" in finding.message
    spec = DataSpec("data", str(data), augmented=(str(aside),))
    assert verify_claims(options["out"], data=spec).wrong == ()


def test_no_teacher_is_fine_tuned_without_labels(
    data: Path, good_teacher: Path, tmp_path: Path
) -> None:
    (data / "train.tsv").write_text("sentence\nthe film\nthe song\n", encoding="utf-8")
    words = ["finetune", "--task", "tiny", "--data", str(data), "--model", str(good_teacher)]
    found = CliRunner().invoke(cache_teacher, [*words, "--out", str(tmp_path / "new")])
    assert found.exit_code == 1
    expected = f"{data}: expected train rows with labels, found none that has one"
    assert expected in str(found.exception)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("option", ["--unlabelled", "--augmented"])
def test_a_teacher_is_fine_tuned_on_labels_alone(option: str) -> None:
    words = ["finetune", "--task", "tiny", "--model", "m", option, "x"]
    found = CliRunner().invoke(cache_teacher, words)
    assert found.exit_code == 2
    assert "No such option" in found.output and option in found.output


def test_verify_compares_added_rows_with_the_data_alone(tmp_path: Path) -> None:
    found = CliRunner().invoke(cache_teacher, ["verify", str(tmp_path), "--unlabelled", "x.tsv"])
    assert found.exit_code == 2
    assert "need --data beside them" in found.output
