"""Multi-label from end to end, by the commands: teacher, cache, checks, students, predictions."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from transformers import AutoConfig, pipeline

import mixkd
from mixkd.shared.cache.interpolation import mixing
from mixkd.shared.errors import LabelOrderError, UsageError, WeakTeacherError
from mixkd.shared.metrics import MULTI_LABEL
from tests.commands import run
from tests.label_sets import NAMES, numbers, tables, write_tables
from tests.miniature import tiny_data, tiny_teacher
from tests.once import made_once

METRICS = ("micro_f1", "macro_f1", "mean_average_precision")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data, a teacher, a cache of 60 pairs, and students by kd and mixkd."""
    return made_once(tmp_path_factory, "multi-label", make)


def make(folder: Path) -> None:
    write_tables(folder / "films")
    tiny_teacher(folder / "encoder", head=False, initializer_range=0.1)
    run(
        "cache-teacher finetune --task films --data films --model encoder --epochs 15"
        " --batch-size 16 --learning-rate 3e-3 --max-length 64 --device cpu",
        folder,
    )
    run("cache-teacher --task films --teacher teachers/films --pairs 60 --device cpu", folder)
    for method in ("kd --distance kl --temperature 2", "mixkd"):
        name = method.split()[0]
        run(
            f"train-student shards/films --method {method} --epochs 6 --batch-size 16"
            f" --learning-rate 2e-3 --layers 1 --device cpu --out students/{name}",
            folder,
        )


def cache_of(place: Path) -> mixkd.Cache:
    return mixkd.Cache.open(place / "shards" / "films")


def test_the_teacher_says_what_it_is(place: Path) -> None:
    teacher = place / "teachers" / "films"
    config = AutoConfig.from_pretrained(teacher)
    assert (config.problem_type, tuple(config.id2label.values())) == (MULTI_LABEL, NAMES)
    found = json.loads((teacher / "metrics.json").read_text())
    assert found["metric"] == "micro_f1"
    assert {*found["validation"]["validation"]} == {*METRICS}
    assert found["validation"]["validation"]["micro_f1"] > 0.9, "it has learnt"
    card = (teacher / "README.md").read_text()
    assert "- labels: bright, dull, odd (any number of them per text)" in card


def test_the_cache_has_rows_of_0_and_1_and_scores_of_them(place: Path) -> None:
    cache = cache_of(place)
    assert cache.identity.problem_type == MULTI_LABEL
    assert "3 labels, any number per row" in repr(cache)
    wanted = tables()
    for split, rows in wanted.items():
        labels = cache.examples(split).labels
        assert labels.tolist() == [numbers(row["tags"]) for row in rows]
        assert {*cache.seal.scores[split]} == {*METRICS}
        right = ((cache.logits(split) > 0) == labels).mean()
        assert right > 0.9, "one logit per label, of its own sign"
    assert cache.check_alignment() == cache.seal.scores
    said = run("cache-teacher info shards/films", place)
    assert "labels bright, dull, odd (multi-label)" in said and "(KL per label, nats)" in said


def test_interpolation_is_measured_label_by_label(place: Path) -> None:
    """Against a plain version over the first pairs."""
    cache = cache_of(place)
    pairs, logits = cache.pairs(), cache.logits("train").astype(np.float64)

    def sigmoid(value: float) -> float:
        return 1 / (1 + np.exp(-value))

    distances, changed = [], []
    for left, right, lam, mixed in zip(
        *(pairs.left, pairs.right, pairs.lam.astype(np.float64), pairs.known_logits), strict=True
    ):
        of_labels, other = [], False
        for label in range(3):
            p = lam * sigmoid(logits[left, label]) + (1 - lam) * sigmoid(logits[right, label])
            q = sigmoid(float(mixed[label]))
            of_labels.append(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
            other |= (p > 0.5) != (q > 0.5)
        distances.append(np.mean(of_labels))
        changed.append(other)
    found = mixing(cache).verdict
    assert found is not None
    assert found.distance == pytest.approx(np.mean(distances), rel=1e-6)
    assert found.relabelled == pytest.approx(np.mean(changed))


def test_every_level_of_verification_passes(place: Path) -> None:
    out = run(
        "cache-teacher verify shards/films --deep --teacher teachers/films --data films"
        " --device cpu --json",
        place,
    )
    found = json.loads(out)
    assert found["findings"] == []
    assert {"logits", "labels", "scores", "dtype", "label_order"} <= {*found["checked"]}


def test_labels_that_are_not_the_datas_are_found(place: Path, tmp_path: Path) -> None:
    other = tables()
    other["train"][4]["tags"] = [name for name in NAMES if name not in other["train"][4]["tags"]]
    data = tmp_path / "films"
    data.mkdir()
    for split, rows in other.items():
        (data / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = mixkd.verify_claims(place / "shards" / "films", data=mixkd_data(data))
    assert [finding.claim for finding in found.wrong] == ["labels"]
    assert "found 1 others, the first in row 4" in found.wrong[0].message


def mixkd_data(folder: Path) -> Any:
    from mixkd.teacher_cache.data.load import DataSpec

    return DataSpec("films", str(folder))


def test_load_dataset_gives_lists_of_classes_beside_the_logits(place: Path) -> None:
    rows = datasets.load_dataset(str(place / "shards" / "films"))
    cache = cache_of(place)
    for found in (rows["train"], cache.to_dataset("train")):
        feature = found.features["label"]
        assert feature == datasets.Sequence(datasets.ClassLabel(names=list(NAMES)))
        for row, wanted in zip(found, tables()["train"], strict=True):
            assert [feature.feature.int2str(number) for number in row["label"]] == sorted(
                wanted["tags"]
            )
        np.testing.assert_array_equal(found["teacher_logits"][:], cache.logits("train"))
    assert "a list, of any length, of a `ClassLabel`" in (cache.root / "README.md").read_text()


@pytest.mark.parametrize("method", ["kd", "mixkd"])
def test_students_learn_each_label(place: Path, method: str) -> None:
    folder = place / "students" / method
    result = mixkd.read_metrics(folder)
    assert (result.metric, result.split) == ("micro_f1", "validation")
    assert result.verdict.better and result.score > 0.8, result.verdict.summary
    assert result.verdict.baseline.startswith("always answering ")
    assert {*METRICS, "teacher_agreement", "teacher_kl", "calibration_error"} == {
        *result.metrics["validation"]
    }
    assert result.student.problem_type == MULTI_LABEL
    config = AutoConfig.from_pretrained(folder)
    assert (config.problem_type, tuple(config.id2label.values())) == (MULTI_LABEL, NAMES)
    card = (folder / "README.md").read_text()
    index = yaml.safe_load(card.split("---")[1])["model-index"][0]["results"][0]["metrics"]
    assert [each["name"] for each in index] == [name.replace("_", " ") for name in METRICS]
    assert index[0]["value"] == pytest.approx(result.score, abs=1e-5)
    classify = pipeline("text-classification", str(folder), device="cpu", top_k=None)
    (answers,) = classify(["the bright and odd film"])
    mine = next(mixkd.predict(folder, ["the bright and odd film"], device="cpu"))
    assert {each["label"]: each["score"] for each in answers} == pytest.approx(
        mine.probabilities, abs=1e-5
    ), "transformers takes a sigmoid, too"


def test_batches_mix_the_labels_and_leave_out_those_of_unlabelled_rows(place: Path) -> None:
    cache = cache_of(place)
    labels = cache.examples("train").labels.astype(np.float32)  # [n, C]
    rows = {ids.tobytes(): row for row, ids in enumerate(ids_of(cache))}
    mixed = 0
    for batch in mixkd.Batches(cache, batch_size=16, pad_id=0):
        for at, lam in enumerate(batch["lam"].tolist()):
            left, right = (
                rows[batch[f"{side}_ids"][at][batch[f"{side}_mask"][at] == 1].numpy().tobytes()]
                for side in ("left", "right")
            )
            expected = lam * labels[left] + (1 - lam) * labels[right]  # [C]
            np.testing.assert_allclose(batch["targets"][at], expected, atol=1e-6)
            mixed += left != right
    assert mixed > 50


def ids_of(cache: mixkd.Cache) -> list[Any]:
    rows = cache.examples("train").input_ids
    return [rows[row].astype(np.int64) for row in range(len(rows.offsets) - 1)]


def test_evaluate_has_a_row_per_label_and_no_confusion(place: Path) -> None:
    data = "films/validation.jsonl"
    out = run(f"train-student evaluate students/kd --data {data} --cache shards/films", place)
    assert "by class" in out and "labels (rows) against" not in out
    found = mixkd.evaluate(
        place / "students" / "kd", place / data, cache=place / "shards" / "films", device="cpu"
    )
    result = mixkd.read_metrics(place / "students" / "kd")
    assert found.problem_type == MULTI_LABEL and found.confusion == ()
    assert found.metrics["micro_f1"] == pytest.approx(result.score)
    wanted = np.array([numbers(row["tags"]) for row in tables()["validation"]])
    predicted = found.logits > 0
    for each, label, own in zip(found.classes, wanted.T, predicted.T, strict=True):
        assert each.support == label.sum()
        assert each.recall == pytest.approx((label * own).sum() / label.sum())
        assert each.precision == pytest.approx((label * own).sum() / own.sum())
    against = found.against_teacher
    assert against is not None and against.examples == len(wanted)
    assert against.metrics["teacher_kl"] == pytest.approx(
        result.metrics["validation"]["teacher_kl"], rel=1e-4
    )
    of_cache = mixkd.evaluate(
        place / "students" / "kd", cache=place / "shards" / "films", device="cpu"
    )
    assert of_cache.metrics == pytest.approx(found.metrics)


def test_predictions_are_the_labels_above_one_half(place: Path, tmp_path: Path) -> None:
    line = "train-student predict students/kd --data films/validation.jsonl --device cpu"
    as_json = [json.loads(row) for row in run(f"{line} --json", place).splitlines()]
    as_csv = list(csv.DictReader(io.StringIO(run(line, place))))
    right = 0
    for row, cells, wanted in zip(as_json, as_csv, tables()["validation"], strict=True):
        assert list(row) == ["text", "tags", "prediction", "p_bright", "p_dull", "p_odd"]
        assert row["prediction"] == [name for name in NAMES if row[f"p_{name}"] > 0.5]
        assert json.loads(cells["prediction"]) == row["prediction"]
        assert json.loads(cells["tags"]) == row["tags"] == wanted["tags"]
        assert float(cells["p_odd"]) == row["p_odd"]
        right += row["prediction"] == sorted(wanted["tags"])
    assert right > len(as_json) / 2
    out = tmp_path / "again.csv"
    run(
        "train-student evaluate students/kd --data films/validation.jsonl --device cpu"
        f" --predictions {out}",
        place,
    )
    with out.open() as file:
        again = list(csv.DictReader(file))
    assert [json.loads(row["label"]) for row in again] == [
        sorted(row["tags"]) for row in tables()["validation"]
    ]
    evaluated = mixkd.evaluate(place / "students" / "kd", out, label_column="label", device="cpu")
    assert evaluated.examples == len(again), "what was written is read again"


def test_a_cache_of_unlabelled_rows_trains_and_methods_that_need_labels_say_so(
    place: Path, tmp_path: Path
) -> None:
    wanted = tables(40)
    for row in wanted["train"]:
        del row["tags"]
    data = tmp_path / "films"
    data.mkdir()
    for split, rows in wanted.items():
        (data / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = mixkd.BuildOptions(
        *("films", 20, str(place / "teachers" / "films"), str(data)),
        out=tmp_path / "cache",
        label_column="tags",
        label_names=NAMES,
        device="cpu",
    )
    mixkd.build_cache(options)
    cache = mixkd.Cache.open(tmp_path / "cache")
    assert not cache.examples("train").labelled.any()
    assert cache.to_dataset("train")[0]["label"] is None
    rows = datasets.load_dataset(str(tmp_path / "cache"))
    assert rows["train"][0]["label"] is None and rows["validation"][0]["label"] is not None
    with pytest.raises(UsageError, match="expected train examples with labels, which --method ft"):
        mixkd.train(mixkd.TrainOptions(tmp_path / "cache", method="ft", out=tmp_path / "ft"))
    kd = mixkd.TrainOptions(tmp_path / "cache", epochs=1, device="cpu", out=tmp_path / "kd")
    assert mixkd.train(kd) is not None


def test_given_probabilities_make_a_cache(place: Path, tmp_path: Path) -> None:
    wanted = tables(40)
    for rows in wanted.values():
        for row in rows:
            row["llm"] = [0.2 + 0.6 * tag for tag in numbers(row["tags"])]
    data = tmp_path / "films"
    data.mkdir()
    for split, rows in wanted.items():
        (data / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "cache"
    given = f"--data {data} --logits-column llm"
    run(f"cache-teacher --task films {given} --tokenizer {place / 'encoder'} --pairs 0 --out {out}")
    logits = mixkd.Cache.open(out).logits("train")
    expected = [row["llm"] for row in wanted["train"]]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-6)
    found = json.loads(run(f"cache-teacher verify {out} {given} --json"))
    assert found["findings"] == [] and {"logits", "teacher"} <= {*found["checked"]}


def test_teachers_that_do_not_fit_the_labels(place: Path, tmp_path: Path) -> None:
    single = tiny_teacher(tmp_path / "single", labels=NAMES)
    other = tiny_teacher(tmp_path / "other", labels=NAMES, problem_type=MULTI_LABEL)
    multi, words = place / "films", tiny_data(tmp_path / "words", classes=3)
    options = {"out": tmp_path / "cache", "device": "cpu"}
    for teacher, data, kind, message in (
        (single, multi, LabelOrderError, "expected a teacher for multi_label_.*found.* single_la"),
        (other, words, LabelOrderError, "expected a teacher for single_label_.*found.* multi_la"),
        (other, multi, WeakTeacherError, r"expected micro F1 above 0\.\d+, that of always answ"),
    ):
        with pytest.raises(kind, match=message) as caught:
            mixkd.build_cache(mixkd.BuildOptions("films", 4, str(teacher), str(data), **options))
        assert "\n" not in str(caught.value)
    student = place / "students" / "kd"
    made = mixkd.BuildOptions(
        *("words", 0, str(single), str(words)),
        out=tmp_path / "made",
        min_teacher_score=0,
        teacher_labels=(0, 1, 2),
        device="cpu",
    )
    mixkd.build_cache(made)
    with pytest.raises(LabelOrderError, match="expected a cache for multi_label_classification"):
        mixkd.evaluate(student, cache=tmp_path / "made", device="cpu")


def test_a_permuted_teacher_is_told_its_order(place: Path, tmp_path: Path) -> None:
    options = mixkd.BuildOptions(
        *("films", 4, str(place / "teachers" / "films"), str(place / "films")),
        out=tmp_path / "cache",
        teacher_labels=(2, 0, 1),
        device="cpu",
    )
    with pytest.raises(WeakTeacherError, match="try --teacher-labels 0,1,2"):
        mixkd.build_cache(options)


def test_columns_of_0_and_1_are_evaluated_too(place: Path, tmp_path: Path) -> None:
    wanted = tables()["validation"]
    rows = [
        {"text": row["text"], **dict(zip(NAMES, numbers(row["tags"]), strict=True))}
        for row in wanted
    ]
    data = datasets.Dataset.from_list(rows)
    student, column = place / "students" / "kd", "odd,bright,dull"
    found = mixkd.evaluate(student, data, label_column=column, device="cpu")
    assert found.labels.tolist() == [numbers(row["tags"]) for row in wanted]
    rows[3]["odd"] = 2
    with pytest.raises(mixkd.errors.DataError, match="row 4, column odd: expected 0 or 1, found 2"):
        mixkd.evaluate(student, datasets.Dataset.from_list(rows), label_column=column)


def test_class_numbers_mean_what_the_table_says(place: Path, tmp_path: Path) -> None:
    """Numbers of a `ClassLabel` in a different order, in memory and in parquet."""
    wanted = tables()["validation"]
    names = list(NAMES[::-1])
    features = datasets.Features(
        text=datasets.Value("string"), tags=datasets.Sequence(datasets.ClassLabel(names=names))
    )
    data = datasets.Dataset.from_list(wanted, features=features)
    data.to_parquet(tmp_path / "rows.parquet")
    for rows in (data, tmp_path / "rows.parquet"):
        found = mixkd.evaluate(place / "students" / "kd", rows, label_column="tags", device="cpu")
        assert found.labels.tolist() == [numbers(row["tags"]) for row in wanted]


def test_labels_that_the_model_does_not_know(place: Path) -> None:
    student = place / "students" / "kd"
    for label, message in (
        (["odd", "new"], r"row 2, column label: expected a list of labels that the model knows"),
        ("odd", r"row 2, .*\(bright, dull, odd\), found 'odd'"),
    ):
        rows = datasets.Dataset.from_list(
            [{"text": "a", "label": json.dumps(["odd"])}, {"text": "b", "label": json.dumps(label)}]
            if isinstance(label, list)
            else [{"text": "a", "label": '["odd"]'}, {"text": "b", "label": label}]
        )
        with pytest.raises(mixkd.errors.DataError, match=message):
            mixkd.evaluate(student, rows, device="cpu")
