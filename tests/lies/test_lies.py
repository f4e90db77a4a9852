"""Each lie is told in a signed cache and every level is asked: who finds it, and under which name.

`mixkd/shared/cache/claims.py` says which level checks which claim, and docs/guarantees.md repeats
it: both are compared with what is found here.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from transformers.models.auto import tokenization_auto

from mixkd.shared.cache.claims import CLAIMS, Claim, Level, Verified
from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import MissingFileError, MixkdError, ModelError, UsageError
from mixkd.shared.examples import Ragged
from mixkd.shared.models import untrusted_tokenizer
from mixkd.student_train import student
from mixkd.student_train.opening import open_caches
from mixkd.teacher_cache.cli import cache_teacher
from mixkd.teacher_cache.data.load import DataSpec
from mixkd.teacher_cache.data.logits import LogitsSpec
from mixkd.teacher_cache.verify import verify_claims
from tests import tiers
from tests.commands import run
from tests.conftest import Tally
from tests.given import build_given, write_tables
from tests.lies.lies import ALL, GIVEN
from tests.lies.story import Story
from tests.miniature import ENCODERS, tiny_data, tiny_teacher
from tests.once import made_once
from tests.student_train.caches import make_cache

EVERY_ROW = 10**6


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory, good_teacher: Path) -> Path:
    """40 + 20 examples of two classes and 100 pairs."""
    return made_once(tmp_path_factory, "honest", lambda root: make_cache(root, good_teacher))


@pytest.fixture(scope="session")
def its_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "its-data", lambda folder: tiny_data(folder, 40))


def open_it(root: Path) -> None:
    Cache.open(root)


def begin_training(root: Path) -> None:
    (cache,) = open_caches([root], None)
    student.load(cache, None, None, seed=0)


def is_refused(root: Path, level: Level) -> bool:
    try:
        (open_it if level == "open" else begin_training)(root)
    except MixkdError:
        return True
    return False


def asked(root: Path, level: Level, teacher: Path, data: Path) -> Verified:
    if level == "--teacher":
        return verify_claims(root, teacher=str(teacher), rows=EVERY_ROW, device="cpu")
    if level == "--data":
        return verify_claims(root, data=DataSpec("data", str(data)))
    return verify_claims(root, deep=level == "--deep")


def claims(verified: Verified) -> set[Claim]:
    return {finding.claim for finding in verified.findings}


@pytest.mark.parametrize("name", ALL)
def test_a_lie_is_found(
    tmp_path: Path, honest: Path, its_data: Path, good_teacher: Path, name: str, tally: Tally
) -> None:
    lie = ALL[name]
    root = lie.tell(Story.of(honest), tmp_path / "lie")
    refused = {level for level in ("open", "train-student") if is_refused(root, level)}
    assert refused == set(lie.refused)
    at_once = lie.found.get("verify", set())
    found = {}
    for level in ("verify", "--deep", "--teacher", "--data"):
        expected = at_once | lie.found.get(level, set())
        found[level] = claims(asked(root, level, good_teacher, its_data))
        assert found[level] == expected, level
    tally("lies told and found", 1)


@pytest.fixture(scope="session")
def its_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "its-table", lambda folder: write_tables(folder, 40))


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory, its_table: Path, good_teacher: Path) -> Path:
    """40 + 20 examples whose probabilities were given."""
    return made_once(
        tmp_path_factory, "given", lambda root: build_given(root, its_table, good_teacher)
    )


@pytest.mark.parametrize("name", GIVEN)
def test_a_lie_about_given_logits_is_found(
    tmp_path: Path, given: Path, its_table: Path, good_teacher: Path, name: str, tally: Tally
) -> None:
    lie = GIVEN[name]
    root = lie.tell(Story.of(given), tmp_path / "lie")
    Cache.open(root).check_alignment()
    at_once = lie.found.get("verify", set())
    for level in ("verify", "--teacher"):
        assert claims(asked(root, level, good_teacher, its_table)) == at_once, level
    data, column = DataSpec("data", str(its_table)), LogitsSpec(("llm",))
    assert claims(verify_claims(root, data=data, logits=column)) == at_once | lie.found.get(
        "--data", set()
    )
    tally("lies told and found", 1)


def test_the_truth_about_given_logits(given: Path, its_table: Path, good_teacher: Path) -> None:
    """The table shows all that can be shown; a teacher has nothing to do with it."""
    data, column = DataSpec("data", str(its_table)), LogitsSpec(("llm",))
    found = verify_claims(given, True, teacher=str(good_teacher), data=data, logits=column)
    assert found.findings == ()
    teachers = {"label_order", "tokenizer", "starts", "about", "dtype"}
    assert {item.claim for item in found.unchecked} == teachers
    assert {item.why for item in found.unchecked} == {
        "the logits were given: no teacher is here to compare with"
    }
    without = {item.claim: item.why for item in verify_claims(given, data=data).unchecked}
    assert without["logits"] == without["teacher"] == "needs --data and --logits-column"


def test_given_logits_are_compared_with_their_own_data_only(honest: Path, given: Path) -> None:
    with pytest.raises(UsageError, match="--logits-column: expected --data"):
        verify_claims(given, logits=LogitsSpec(("llm",)))
    data = DataSpec("data", str(given))
    with pytest.raises(UsageError, match="--logits-column: .*a model gave this cache's logits"):
        verify_claims(honest, data=data, logits=LogitsSpec(("llm",)))


def test_a_tokenizer_of_another_type_is_loaded_if_the_user_allows_it(
    honest: Path, good_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `train-student` does, and with the option that the refusal names."""
    monkeypatch.setattr(untrusted_tokenizer, "TOKENIZER_CLASSES", ("BertTokenizer",))
    monkeypatch.setitem(tokenization_auto.TOKENIZER_MAPPING_NAMES, "mine", "TokenizersBackend")
    (refused,) = verify_claims(honest).wrong
    assert refused.claim == "tokenizer"
    assert "--allow-model-type with the type of the tokenizer" in refused.message
    options = f"--teacher {good_teacher} --device cpu --allow-model-type mine"
    assert run(f"cache-teacher verify {honest} {options}").endswith(": in order\n")


def test_a_teacher_that_is_not_there_is_missed_first(
    honest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*args: object) -> None:
        raise AssertionError("the cache was looked at")

    monkeypatch.setattr("mixkd.teacher_cache.verify.look", look)
    with pytest.raises(ModelError, match="nowhere: .*found no such folder"):
        verify_claims(honest, teacher="./nowhere")


def test_ids_beyond_the_teachers_tables(tmp_path: Path, honest: Path, good_teacher: Path) -> None:
    """They would end the rerun deep inside the model; without texts nothing else tells."""
    story = Story.of(honest)
    for split, rows in story.examples.items():
        flat = np.where(rows.input_ids.flat > 20, 100_000, rows.input_ids.flat).astype(np.int32)
        ids = Ragged(flat, rows.input_ids.offsets)
        story.examples[split] = replace(rows, input_ids=ids, text_a=None)
    root = story.tell(tmp_path / "lie")
    assert claims(verify_claims(root)) == set()
    (finding,) = asked(root, "--teacher", good_teacher, honest).findings
    assert finding.claim == "logits"
    assert "expected token ids below 160" in finding.message


def test_an_examples_text_is_not_compared_where_there_is_none(
    tmp_path: Path, honest: Path, its_data: Path
) -> None:
    story = Story.of(honest)
    for split, rows in story.examples.items():
        story.examples[split] = replace(rows, text_a=None)
    found = verify_claims(story.tell(tmp_path / "bare"), data=DataSpec("data", str(its_data)))
    told = {item.claim: item.why for item in found.unchecked}
    assert told["texts"] == told["labels"] == "the cache was built with --no-text"
    assert {"texts", "labels"}.isdisjoint(found.checked)


def test_the_truth_is_found_in_order_and_whole(
    honest: Path, its_data: Path, good_teacher: Path
) -> None:
    """With the teacher and the data at hand, nothing stays unchecked."""
    data = DataSpec("data", str(its_data))
    found = verify_claims(
        honest, True, teacher=str(good_teacher), rows=EVERY_ROW, device="cpu", data=data
    )
    assert found == Verified(findings=(), checked=tuple(CLAIMS), unchecked=())


def test_what_was_not_checked(honest: Path) -> None:
    found = verify_claims(honest)
    assert found.findings == ()
    told = {item.claim: item.why for item in found.unchecked}
    assert told == {
        **dict.fromkeys(
            ("logits", "teacher", "label_order", "tokenizer", "starts", "about", "dtype"),
            "needs --teacher",
        ),
        "labels": "needs --data",
    }
    assert set(CLAIMS) - set(found.checked) == set(told) - {"dtype"}


def test_each_cell_of_the_table_is_a_lie_that_this_level_finds() -> None:
    """What is said to be checked is what finds a lie, and nothing else."""
    shown = {(claim, level) for claim, row in CLAIMS.items() for level in row.checks}
    found = set()
    for lie in (*ALL.values(), *GIVEN.values()):
        found |= {(claim, level) for level, claims in lie.found.items() for claim in claims}
        # A refusal does not say which claim is false: one that `verify` names.
        named = [lie.claim, *lie.found.get("verify", ())]
        for level in lie.refused:
            found.add(next((claim, level) for claim in named if (claim, level) in shown))
    assert found - shown == set()
    assert shown - found == {("plan", "--deep"), ("texts", "--deep")}  # of what samples leave out


def test_samples_are_reported_as_such(honest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixkd.shared.cache.verify.DRAWN", 300)
    monkeypatch.setattr("mixkd.teacher_cache.verify.sample_rows", lambda rows: np.arange(3))
    found = verify_claims(honest)
    assert found.findings == ()
    told = {item.claim: item.why for item in found.unchecked}
    assert told["plan"] == "2 of 4 shards of pairs; all with --deep"
    assert told["texts"] == "6 of 60 texts were tokenised; more with --deep"
    assert {"plan", "texts"} <= set(found.checked)
    assert {"plan", "texts"}.isdisjoint(
        item.claim for item in verify_claims(honest, True).unchecked
    )


def test_a_lie_that_samples_leave_out(
    tmp_path: Path, honest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What --deep adds: every text, every pair."""
    monkeypatch.setattr("mixkd.teacher_cache.verify.sample_rows", lambda rows: np.arange(3))
    monkeypatch.setattr("mixkd.shared.cache.verify.DRAWN", 1)
    monkeypatch.setattr("numpy.random.default_rng", lambda: FirstOnes())
    story = Story.of(honest)
    texts = story.examples["train"].text_a.to_pylist()
    texts[5] = texts[6]
    story.examples["train"] = replace(story.examples["train"], text_a=pa.array(texts))
    story.columns("pairs")[-1]["left"][:] = 0
    root = story.tell(tmp_path / "lie")
    assert claims(verify_claims(root)) == set()
    assert claims(verify_claims(root, deep=True)) == {"texts", "plan"}


class FirstOnes:
    """Chooses without chance."""

    def choice(self, numbers: Any, count: int, replace: bool) -> Any:
        return (np.arange(numbers) if isinstance(numbers, int) else numbers)[:count]


def test_what_the_command_says(honest: Path, good_teacher: Path, tmp_path: Path) -> None:
    said = run(f"cache-teacher verify {honest}").splitlines()
    assert said[-1] == f"{honest}: in order"
    assert f"not checked, logits: {CLAIMS['logits'].says} (needs --teacher)" in said
    assert all(line.startswith("not checked, ") for line in said[:-1])
    found = json.loads(run(f"cache-teacher verify {honest} --teacher {good_teacher} --json"))
    assert found["findings"] == []
    left_out = {"claim": "labels", "why": "needs --data", "partly": False}
    assert found["unchecked"] == [left_out]
    assert set(found["checked"]) == set(CLAIMS) - {"labels"}


@pytest.mark.parametrize("rows", ["0", "-1"])
def test_rows_that_make_no_sense(honest: Path, rows: str) -> None:
    found = CliRunner().invoke(cache_teacher, ["verify", str(honest), "--rows", rows])
    assert found.exit_code == 2
    assert f"Invalid value for '--rows': {rows} is not in the range" in found.output
    with pytest.raises(UsageError, match="--rows: expected a number from 1"):
        verify_claims(honest, rows=int(rows))


def test_a_folder_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="absent: expected the folder of a cache"):
        verify_claims(tmp_path / "absent")


def test_the_guarantees_have_the_table(honest: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/guarantees.md").read_text(encoding="utf-8")
    (heading, rows) = re.findall(r"^(\| claim \|.*)\n\|---.*\n((?:\|.*\n)+)", page, re.MULTILINE)[0]
    levels = [cell.strip().strip("`") for cell in heading.split("|")[3:-1]]
    shown = {}
    for row in rows.splitlines():
        name, says, *cells = (cell.strip() for cell in row.split("|")[1:-1])
        checks = {level: cell for level, cell in zip(levels, cells, strict=True) if cell}
        shown[name.strip("`")] = (says, checks)
    assert shown == {claim: (row.says, row.checks) for claim, row in CLAIMS.items()}


@pytest.mark.parametrize(
    "family",
    ["roberta", "deberta-v2", *map(tiers.slow, sorted({*ENCODERS} - {"roberta", "deberta-v2"}))],
)
def test_every_familys_caches_are_in_order(tmp_path: Path, family: str) -> None:
    """Starts, tokenizers and settings are saved, loaded and saved again: nothing may differ."""
    teacher = tiny_teacher(tmp_path / "teacher", family)
    two_texts = family in ("bert", "roberta")
    root = make_cache(tmp_path / "cache", teacher, two_texts=two_texts, pairs=20, starts=(1, 2))
    found = asked(root, "--teacher", teacher, root)
    assert found.findings == ()
    assert [item.claim for item in found.unchecked] == ["labels"]
