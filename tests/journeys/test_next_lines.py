"""Every `next` line runs as it is printed, in the folder where it was printed."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import yaml

import mixkd
from mixkd.shared.cache.facts import CacheFacts, cache_facts
from mixkd.shared.cache.reader import Cache
from mixkd.teacher_cache.next_steps import MOST_PAIRS, build_command, train_command
from tests.commands import run
from tests.given import build_given, write_tables
from tests.miniature import tiny_data, tiny_teacher
from tests.pages import ROOT

ROWS = [(f"{word} {n}", mood) for n in range(12) for word, mood in (("good", "+"), ("bad", "-"))]
FASTER = "--epochs 20 --lr 3e-3 --batch-size 8"


def printed(text: str) -> str:
    """The command line behind the word "next"."""
    (line,) = [line for line in text.splitlines() if line.startswith("next")]
    return line.removeprefix("next").lstrip(": ")


def test_from_own_rows_to_a_student_and_again(desk: Path) -> None:
    """Names are odd, and the second time all folders that a line would fill are there already."""
    lines = ["utterance,intent", *(f"{text},{mood}" for text, mood in ROWS)]
    (desk / "my data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = "--text-columns utterance --label-column intent --max-length 16"
    finetune = f"cache-teacher finetune --task moods --data 'my data.csv' {words}"
    finetune += " --model bert-base-uncased"
    weak = run(f"{finetune} --epochs 1 --lr 1e-9 --out teachers/weak")
    assert "next" not in weak  # for a cache of it would be refused
    build = printed(run(f"{finetune} {FASTER} --out 'teachers/my moods'"))
    assert build.endswith("--teacher 'teachers/my moods' --pairs 110")  # 5 for each of 22 rows
    train = printed(run(build))
    cache = Cache.open("shards/moods")
    assert cache.identity.label_names == ("+", "-")
    assert cache.identity.max_length == 16
    assert str(desk) not in "".join(
        path.read_bytes().decode(errors="replace")
        for path in Path("shards/moods").rglob("*")
        if path.is_file()
    )
    assert "students/moods: the student" in run(train)

    # More pairs for the same cache, then another teacher of the same name elsewhere.
    more = run("cache-teacher --task moods --pairs 120")
    assert "pairs        120" in more
    assert yaml.safe_load(Path("shards/moods.yaml").read_text()) == {"task": "moods", "pairs": 120}
    assert "students/moods-2: the student" in run(printed(more))
    build = printed(run(f"{finetune} {FASTER} --out other/moods"))
    assert build.endswith("--out shards/moods-moods")
    train = printed(run(build))
    assert "students/moods-moods: the student" in run(train)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--pairs 0", "--method kd"),
        ("--pairs 30 --student-layers 0-1,0-2", "--layers 0-2"),
        ("--pairs 30 --student-layers none", None),
    ],
)
def test_after_a_build(desk: Path, options: str, expected: str | None) -> None:
    data = tiny_data(desk / "rows")
    tiny_teacher(desk / "my teacher", layers=3)
    build = f"cache-teacher --task mood --data {data.name} --teacher 'my teacher'"
    shown = run(f"{build} --min-teacher-score 0 {options}")
    if expected is None:
        assert "next" not in shown
        assert "students     start from a model of their own: --student" in shown
        return
    line = printed(shown)
    assert line == f"train-student --cache shards/mood {expected}"
    assert "students/mood: the student" in run(line)


def test_after_a_build_from_a_type_that_is_not_tested(desk: Path) -> None:
    """Its students are refused but for an option that the line has."""
    data = tiny_data(desk / "rows")
    tiny_teacher(desk / "camembert", "camembert")
    build = f"cache-teacher --task mood --data {data.name} --teacher camembert"
    line = printed(run(f"{build} --pairs 0 --min-teacher-score 0"))
    assert line.endswith("--method kd --allow-model-type camembert")
    assert "students/mood: the student" in run(line)


def test_after_given_logits(desk: Path) -> None:
    data = write_tables(desk / "llm")
    tiny_teacher(desk / "my student", "distilbert", head=False)
    build = f"cache-teacher --task given --data {data.name} --logits-column llm --pairs 0"
    line = printed(run(f"{build} --tokenizer 'my student'"))
    assert line.endswith("--method kd --student 'my student'")
    assert "students/given: the student" in run(line)


def test_no_line_names_a_tokenizer_as_a_model(desk: Path) -> None:
    data = write_tables(desk / "llm")
    tokenizer = tiny_teacher(desk / "tokenizer")
    for file in ("config.json", "model.safetensors"):
        (tokenizer / file).unlink()
    cache = Cache.open(build_given(desk / "cache", str(data), tokenizer))
    facts = cache_facts(cache)
    assert train_command(cache.root, facts, str(tokenizer)) is None
    on_the_hub = train_command(cache.root, facts, "distilbert-base-uncased")
    assert on_the_hub is not None and on_the_hub.endswith("--student distilbert-base-uncased")


def test_data_in_memory_have_no_line(desk: Path) -> None:
    rows = datasets.Dataset.from_dict({"text": [t for t, _ in ROWS], "label": [m for _, m in ROWS]})
    options = mixkd.FinetuneOptions(
        *("moods", "bert-base-uncased"), data=rows, epochs=20, learning_rate=3e-3, batch_size=8
    )
    assert mixkd.finetune(options).next_command is None


@pytest.fixture
def facts() -> CacheFacts:
    return cache_facts(Cache.open(ROOT / "tests" / "goldens" / "format-1-arrow"))


@pytest.mark.parametrize(
    ("pairs", "starts", "more"),
    [
        (8, ((0,), (0, 5)), ""),
        (8, ((0,), (0, 1), (0, 5)), " --layers 0-5"),
        (0, ((0, 5),), " --method kd"),
    ],
)
def test_a_student_is_told_what_its_default_cannot_know(
    desk: Path, facts: CacheFacts, pairs: int, starts: tuple[tuple[int, ...], ...], more: str
) -> None:
    line = train_command(Path("my shards"), replace(facts, pairs=pairs, starts=starts), None)
    assert line == f"train-student --cache 'my shards'{more}"


def test_the_number_of_pairs_follows_the_rows(desk: Path) -> None:
    teacher = Path("teachers/bank")
    line = "cache-teacher --task bank --teacher teachers/bank --pairs"
    assert build_command("bank", teacher, 200) == f"{line} 1000"
    assert build_command("bank", teacher, 10**6) == f"{line} {MOST_PAIRS}"
    for folder in ("shards/bank-bank", "shards/bank-bank-2"):
        Path("shards/bank").mkdir(parents=True, exist_ok=True)
        assert shlex.split(build_command("bank", teacher, 200))[-2:] == ["--out", folder]
        Path(folder).mkdir()
