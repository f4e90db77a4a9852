"""What a fine-tuned teacher's folder remembers, and the steps that the commands print."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mixkd.shared.errors import MalformedError, UsageError
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.remembered import (
    MEMORY_FILE,
    Remembered,
    read_memory,
    with_memory,
)
from tests.commands import run

ROWS = [(f"{word} {n}", mood) for n in range(12) for word, mood in (("good", "+"), ("bad", "-"))]


@pytest.fixture
def place(tmp_path: Path, good_teacher: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file of texts under names of their own, and a model."""
    monkeypatch.chdir(tmp_path)
    lines = ["utterance,intent", *(f"{text},{mood}" for text, mood in ROWS)]
    (tmp_path / "my data.csv").write_text("\n".join(lines) + "\n")
    shutil.copytree(good_teacher, tmp_path / "model")
    return tmp_path


def test_a_cache_whose_teacher_is_not_here_asks_for_it(place: Path) -> None:
    words = "--text-columns utterance --label-column intent --min-teacher-score 0"
    words += " --teacher-labels 0,1"
    run(f"cache-teacher --task moods --data 'my data.csv' {words} --teacher model --pairs 4")
    config = Path("model/config.json")
    changed = json.loads(config.read_text()) | {"note": "another model of the same name"}
    config.write_text(json.dumps(changed))
    with pytest.raises(UsageError, match="which is called model, found none of that name here"):
        run("cache-teacher --task moods --pairs 8")


def test_what_is_said_wins_over_what_is_remembered(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    memory = Remembered(
        *("bank", "bank.csv", ("utterance",), "intent", ("a", "b"), 64, 7, 0.5),
        train_split="all",
        validation_split=("test",),
    )
    (teacher / MEMORY_FILE).write_bytes(memory.to_bytes())
    assert read_memory(teacher) == memory

    def taken(**options: object) -> BuildOptions:
        values = {"task": "bank", "pairs": 1, "teacher": str(teacher), "out": tmp_path / "new"}
        return with_memory(BuildOptions(**{**values, **options}))  # type: ignore[arg-type]

    found = taken()
    assert (found.data, found.text_columns, found.label_column, found.label_names) == (
        *("bank.csv", ("utterance",)),
        *("intent", ("a", "b")),
    )
    assert (found.max_length, found.seed, found.subset) == (64, None, None)
    assert (found.train_split, found.validation_split) == ("all", ("test",))
    assert taken(validation_split=("dev",)).validation_split == ("dev",)
    assert taken(max_length=8).max_length == 8
    assert taken(label_column="other").label_column == "other"
    assert taken(subset=0.1).data == "bank.csv"
    assert taken(data="more.csv").text_columns == ()
    assert taken(data="more.csv").train_split is None
    assert taken(task="rte").data is None
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "cache.json").touch()
    assert taken().data is None  # the cache has all of it
    assert (taken(subset=0.1).data, taken(subset=0.1).max_length) == ("bank.csv", None)
    assert taken(teacher=str(tmp_path)) == BuildOptions(
        task="bank", pairs=1, teacher=str(tmp_path), out=tmp_path / "new"
    )


@pytest.mark.parametrize("content", ["", "[]", '{"task": 1}', '{"task": "a", "more": 1}', "\xff"])
def test_a_memory_that_finetune_did_not_write_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MEMORY_FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(MalformedError, match="expected what cache-teacher finetune writes"):
        read_memory(tmp_path)
