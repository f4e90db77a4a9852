"""Caches of logits that a model elsewhere gave: built, continued, refused, and trained from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from transformers import AutoTokenizer

import mixkd
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import GIVEN
from mixkd.shared.errors import (
    DifferentCacheError,
    MalformedError,
    MixkdError,
    UsageError,
    WeakTeacherError,
)
from mixkd.shared.metrics import CLASSIFICATION, probabilities
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.train import train
from mixkd.teacher_cache import run as run_module
from mixkd.teacher_cache.cli import cache_teacher
from mixkd.teacher_cache.data.load import DataSpec
from mixkd.teacher_cache.data.logits import LogitsSpec
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache
from mixkd.teacher_cache.teacher import Teacher
from tests import caches
from tests.commands import run
from tests.given import NAMES, SPLITS, Row, answers, build_given, write_json
from tests.miniature import tiny_teacher
from tests.numpy_caches import Scorer, job

GOLDEN = Path(__file__).resolve().parents[1] / "goldens" / "format-1-arrow"
STUDENT = "distilbert-base-uncased"  # of the page; here the folder of a tiny model
ROWS = 30


@pytest.fixture
def table(tmp_path: Path) -> dict[str, list[Row]]:
    return answers(tmp_path / "raw", ROWS)


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model without a head, with its tokenizer."""
    return tiny_teacher(tmp_path_factory.mktemp("student") / STUDENT, "distilbert", head=False)


@pytest.fixture
def options(tmp_path: Path, table: dict[str, list[Row]], student: Path) -> dict[str, Any]:
    """A build that works: 30 train and 15 validation rows, shards of 8."""
    return {
        "root": tmp_path / "cache",
        "data": str(write_json(tmp_path / "llm", table)),
        "tokenizer": student,
        "shard_rows": 8,
    }


def build(options: dict[str, Any], **changes: Any) -> Path:
    return build_given(**{**options, **changes})


def pin(root: Path) -> bytes:
    return (root / "MANIFEST.json").read_bytes()


def test_the_cache_has_what_was_given(
    options: dict[str, Any], table: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No teacher is loaded, nothing is made up, and no path is in it."""
    monkeypatch.delattr(Teacher, "load")
    cache = Cache.open(build(options))
    teacher = cache.identity.teacher
    assert (teacher.source, teacher.columns) == ("logits", (0, 1))
    assert cache.starts == ()
    assert {record.made.device for record in cache.seal.shards} == {GIVEN}
    for split in SPLITS:
        stored = cache.logits(split)
        given = [row["llm"] for row in table[split]]
        np.testing.assert_allclose(probabilities(stored, CLASSIFICATION), given, atol=1e-6)
        assert cache.examples(split).text_a.to_pylist() == [row["text"] for row in table[split]]
    assert cache.about["teacher"] == "logits given in column llm"
    assert cache.about["logits_kind"] == "probabilities"
    assert cache.about["tokenizer"] == STUDENT
    assert str(options["root"].parent) not in (options["root"] / "cache.json").read_text()
    assert "teacher: logits given in column llm" in (options["root"] / "README.md").read_text()


def as_parquet(folder: Path, table: dict[str, list[Row]]) -> str:
    folder.mkdir()
    for split, rows in table.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
    return str(folder)


def as_object(folder: Path, table: dict[str, list[Row]]) -> datasets.DatasetDict:
    features = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=list(NAMES)),
        llm=datasets.Sequence(datasets.Value("float64")),
    )
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_list(
                [{**row, "label": NAMES.index(row["label"])} for row in rows], features=features
            )
            for split, rows in table.items()
        }
    )


@pytest.mark.parametrize("source", [as_parquet, as_object])
def test_every_source_gives_the_same_identity(
    options: dict[str, Any],
    tmp_path: Path,
    table: dict[str, list[Row]],
    source: Callable[..., Any],
) -> None:
    root = build(options)
    other = build(options, root=tmp_path / "other", data=source(tmp_path / "other-data", table))
    assert Cache.open(other).identity == Cache.open(root).identity


def test_the_tokenizer_may_be_an_object(options: dict[str, Any], tmp_path: Path) -> None:
    root = build(options)
    tokenizer = AutoTokenizer.from_pretrained(options["tokenizer"])
    asked = BuildOptions("given", 0, data=options["data"], out=tmp_path / "b", logits_column="llm")
    build_cache(asked, tokenizer=tokenizer)
    assert Cache.open(tmp_path / "b").identity == Cache.open(root).identity
    with pytest.raises(UsageError, match="--logits-column: expected one of the two, found a teac"):
        build_cache(asked, model=object(), tokenizer=tokenizer)  # type: ignore[arg-type]


def test_a_stopped_build_continues_to_the_same_seal(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(options)
    stopped = tmp_path / "stopped"
    monkeypatch.setattr(run_module, "cache_facts", lambda cache: None)
    with pytest.raises(MixkdError, match="no seal|not sealed|originals"):
        build(options, root=stopped, time_limit_s=0)
    with pytest.raises(UsageError, match="--logits-column: expected the logits that .* was made"):
        build_cache(BuildOptions("given", 0, out=stopped))
    build(options, root=stopped)
    assert pin(stopped) == pin(whole)
    build(options, root=stopped)  # nothing to do
    assert pin(stopped) == pin(whole)


def test_a_part_of_the_rows_and_a_held_out_tenth(
    options: dict[str, Any], table: dict[str, list[Row]]
) -> None:
    file = Path(options["data"]) / "train.jsonl"
    root = build(options, data=str(file), subset=0.5, min_teacher_score=0.0)
    given = {row["text"]: row["llm"] for row in table["train"]}
    cache = Cache.open(root)
    for split in cache.splits:
        texts = cache.examples(split).text_a.to_pylist()
        stored = probabilities(cache.logits(split), CLASSIFICATION)
        np.testing.assert_allclose(stored, [given[text] for text in texts], atol=1e-6)
    column = f"--data {file} --logits-column llm"
    assert run(f"cache-teacher verify {root} {column}").endswith(": in order\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {**row, "llm": row["llm"][::-1]}, "teacher.sha256"),
        (lambda row: {**row, "llm": [np.log(max(p, 1e-7)) for p in row["llm"]]}, "teacher.sha256"),
        (lambda row: {**row, "text": "x " + row["text"]}, "splits.train.texts_sha256"),
    ],
)
def test_another_table_is_another_cache(
    options: dict[str, Any],
    tmp_path: Path,
    table: dict[str, list[Row]],
    change: Callable[[Row], Row],
    message: str,
) -> None:
    root = build(options)
    before = pin(root)
    changed = {split: list(map(change, rows)) for split, rows in table.items()}
    with pytest.raises(DifferentCacheError, match=message):
        build(options, data=str(write_json(tmp_path / "changed", changed)))
    assert pin(root) == before


def test_a_permuted_order_is_named(
    options: dict[str, Any], tmp_path: Path, table: dict[str, list[Row]]
) -> None:
    swapped = {s: [{**row, "llm": row["llm"][::-1]} for row in r] for s, r in table.items()}
    data = str(write_json(tmp_path / "swapped", swapped))
    with pytest.raises(WeakTeacherError, match="seem to be permuted: try --teacher-labels 1,0$"):
        build(options, data=data)
    assert not options["root"].exists()
    cache = Cache.open(build(options, data=data, teacher_labels=(1, 0)))
    assert cache.identity.teacher.columns == (1, 0)
    straight = Cache.open(build(options, root=tmp_path / "straight"))
    np.testing.assert_array_equal(cache.logits("train"), straight.logits("train"))
    column = f"--data {data} --logits-column llm"
    assert run(f"cache-teacher verify {cache.root} {column}").endswith(": in order\n")
    build(options, data=data)  # with the cache's own order
    with pytest.raises(UsageError, match="--teacher-labels: expected each of 0 to 1 once"):
        build(options, root=tmp_path / "c", teacher_labels=(0, 2))


def test_answers_of_no_use_are_refused(
    options: dict[str, Any], tmp_path: Path, table: dict[str, list[Row]]
) -> None:
    equal = {s: [{**row, "llm": [3.0, 1.0]} for row in rows] for s, rows in table.items()}
    data = str(write_json(tmp_path / "equal", equal))
    with pytest.raises(WeakTeacherError, match="correct the numbers, in the order dull, odd, or"):
        build(options, data=data)
    assert Cache.open(build(options, data=data, min_teacher_score=0.0)).seal.rows.originals == 45


MISUSES: list[tuple[dict[str, Any], str]] = [
    ({"pairs": 50}, "--pairs: expected 0, since the model that gave the logits is not here"),
    ({"teacher": "some/teacher"}, "--teacher: expected none beside --logits-column"),
    ({"devices": ("cpu", "cpu")}, "--devices: expected none beside --logits-column"),
    ({"device": "cpu"}, "--device: expected none beside --logits-column"),
    ({"dtype": "float16"}, "--dtype: expected none"),
    ({"batch_tokens": 100}, "--batch-tokens: expected none"),
    ({"student_layers": (1,)}, "--student-layers: expected none"),
    ({"data": None, "task": "sst2"}, "--logits-column: expected --data, found no --data"),
    ({"logits_kind": "odds"}, "--logits-kind: expected one of auto, logits, probabilities"),
    ({"logits_column": ()}, "--logits-column: expected a column"),
    ({"logits_column": None}, "--tokenizer: expected none without given logits"),
    (
        {"logits_column": None, "tokenizer": None, "logits_kind": "logits"},
        "--logits-kind: expected none without given logits",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISUSES)
def test_options_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    usual = {"task": "given", "pairs": 0, "data": "llm", "logits_column": "llm", "tokenizer": "t"}
    assert BuildOptions(**usual).logits_spec  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        BuildOptions(**{**usual, **changes})


def test_a_tokenizer_has_to_be_named(options: dict[str, Any], tmp_path: Path) -> None:
    line = f"--task given --data {options['data']} --logits-column llm --pairs 0 --out".split()
    found = CliRunner().invoke(cache_teacher, [*line, str(tmp_path / "none")])
    assert "--tokenizer: expected the tokenizer that students will read" in str(found.exception)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MixkdError, match="a tokenizer's vocabulary beside the model"):
        build(options, tokenizer=tmp_path / "empty")
    assert not options["root"].exists()


def test_a_dry_run_reads_and_writes_nothing(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    asked = {name: value for name, value in options.items() if name != "root"}
    asked |= {"out": options["root"], "tokenizer": str(options["tokenizer"]), "dry_run": True}
    assert build_cache(BuildOptions("given", 0, logits_column="llm", **asked)) is None
    assert "to do: 45 rows, whose logits were given" in caplog.messages
    assert not options["root"].exists()


def test_without_texts_nothing_is_found_in_the_table(options: dict[str, Any]) -> None:
    root = build(options, text=False)
    data, column = DataSpec("data", options["data"]), LogitsSpec(("llm",))
    found = mixkd.verify_claims(root, data=data, logits=column)
    told = {item.claim: item.why for item in found.unchecked}
    for claim in ("texts", "labels", "logits", "teacher"):
        assert told[claim] == "the cache was built with --no-text"
    assert found.wrong == ()


def test_such_a_cache_gets_no_pairs(options: dict[str, Any]) -> None:
    root = build(options)
    before = pin(root)
    with pytest.raises(UsageError, match="--pairs: expected 0 for .*is not here to answer for mi"):
        build_cache(BuildOptions("given", 100, out=root))
    assert pin(root) == before


def test_a_cache_of_a_model_is_another(options: dict[str, Any]) -> None:
    shutil.copytree(GOLDEN, options["root"])
    with pytest.raises(DifferentCacheError, match=r"teacher\.source logits \(there: model\)"):
        build(options, shard_rows=16)


def test_no_seal_lists_pairs_of_given_logits(tmp_path: Path) -> None:
    """What no builder makes is read by nobody."""
    for pairs, files in ((40, {"tokenizer/tokenizer.json": b"{}"}), (0, caches.FILES)):
        made = job(tmp_path / f"cache-{pairs}", pairs, files=files, teacher_source="logits")
        caches.build(made, Scorer(), caches.accept)
        with pytest.raises(MalformedError, match="no pairs and no starting points, since no model"):
            caches.seal(made.root)


def test_a_student_needs_a_model_of_its_own(options: dict[str, Any], tmp_path: Path) -> None:
    root = build(options)
    for method, message in (
        ("kd", "--student: expected a model, since .* holds no starting points, found none; name"),
        ("mixkd", "found a cache of given logits, which has none; use --method kd or ft$"),
    ):
        with pytest.raises(UsageError, match=message):
            train(TrainOptions(root, method=method, out=tmp_path / "student"))


def test_a_regression_of_one_number(
    tmp_path: Path, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    rows = [
        {"text": f"{n} films", "label": n / 2, "llm": n / 2 + random.normal(0, 0.1)}
        for n in range(12)
    ]
    data = str(write_json(tmp_path / "scores", {"train": rows, "validation": rows}))
    cache = Cache.open(build_given(tmp_path / "cache", data, student))
    assert cache.identity.problem_type == "regression"
    np.testing.assert_allclose(cache.logits("train")[:, 0], [row["llm"] for row in rows], rtol=1e-6)
    trained = train(
        TrainOptions(
            cache.root, method="kd", student=str(student), epochs=1, out=tmp_path / "student"
        )
    )
    assert trained.metric == "pearson"
    found = mixkd.verify_claims(
        cache.root, data=DataSpec("data", data), logits=LogitsSpec(("llm",))
    )
    assert found.wrong == ()
