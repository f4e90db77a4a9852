"""Logits from elsewhere: the commands of `docs/given_logits.md`, from a table to a student."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

import mixkd
from tests.commands import run
from tests.given import NAMES, answers, write_json
from tests.miniature import tiny_teacher
from tests.pages import blocks, lines

PAGE = "docs/given_logits.md"
STUDENT = "distilbert-base-uncased"  # of the page; here the folder of a tiny model
FASTER = "--epochs 12 --learning-rate 5e-3 --batch-size 16 --device cpu"


def test_a_table_of_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (rows,) = blocks(PAGE, "json")
    assert all(json.loads(line).keys() == {"text", "label", "llm"} for line in lines(rows))
    write_json(tmp_path / "mood", answers(tmp_path / "raw", 96))
    tiny_teacher(tmp_path / STUDENT, "distilbert", head=False)
    (commands,) = blocks(PAGE, "bash")
    build, info, verify, train = lines(commands)
    assert f"next         {train}" in run(build).splitlines()
    assert "teacher      logits given in column llm" in run(info)
    assert run(verify).endswith("shards/mood: in order\n")
    run(f"{train} {FASTER}")
    assert mixkd.read_metrics("students/mood").metrics["validation"]["accuracy"] > 0.75
    model = AutoModelForSequenceClassification.from_pretrained("students/mood")
    assert list(model.config.id2label.values()) == list(NAMES)
