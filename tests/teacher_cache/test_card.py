"""The card of a fine-tuned teacher, and what a cache is told of licence, author and language."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import ModelCard

from mixkd.shared.errors import UsageError
from mixkd.teacher_cache.card import TeacherFacts, teacher_card
from mixkd.teacher_cache.finetune import FinetuneOptions
from mixkd.teacher_cache.options import BuildOptions
from tests.hub.cards import check_card

FACTS = TeacherFacts(
    about={
        "task": "mood",
        "data": "owner/moods",
        "data_revision": "0" * 40,
        "data_language": "en",
        "model": "owner/encoder",
        "model_revision": "1" * 40,
    },
    credits={"license": "mit", "author": "Jo"},
    problem_type="single_label_classification",
    labels=("dull", "bright"),
    two_texts=False,
    train_rows=1234,
    validation={"validation": {"accuracy": 0.75, "f1": 0.5}, "dev": {"accuracy": 0.7, "f1": 0.6}},
    course={
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 5e-5,
        "seed": 7,
        "dtype": "float32",
        "max_length": 64,
        "steps": 117,
    },
    seconds=12.3,
    device="cpu",
    command="cache-teacher finetune --task mood --model owner/encoder",
)


def card_of(facts: TeacherFacts) -> ModelCard:
    card = teacher_card(facts)
    check_card(str(card), "model")
    return ModelCard(str(card))


def test_the_card_says_what_was_done() -> None:
    card = card_of(FACTS)
    assert card.data.base_model == "owner/encoder"
    assert card.data.datasets == ["owner/moods"]
    assert card.data.license == "mit"
    assert card.data.language == ["en"]
    assert card.data.metrics == ["accuracy", "f1"]
    assert card.data.model_name == "teacher for mood"
    assert [(r.dataset_split, r.metric_value) for r in card.data.eval_results or ()] == [
        *(("validation", 0.75), ("validation", 0.5), ("dev", 0.7), ("dev", 0.6))
    ]
    for text in (
        "fine-tuned on 1,234 examples of mood",
        "- labels: dull, bright",
        "- author: Jo",
        'classify(["a text"], truncation=True, max_length=64)',
        "| metric | validation | dev |\n|---|---|---|\n| accuracy | 0.7500 | 0.7000 |",
        "```sh\ncache-teacher finetune --task mood --model owner/encoder\n```",
        "117 steps of AdamW in 12 seconds on cpu in float32",
        "seed 7",
    ):
        assert text in card.text


def test_pairs_of_texts_and_folders() -> None:
    about = {"task": "mood", "data": "data", "model": "encoder"}
    card = card_of(replace(FACTS, about=about, two_texts=True, credits={}, labels=()))
    assert {"base_model", "datasets", "license", "language"}.isdisjoint(card.data.to_dict())
    assert 'classify([{"text": "a text", "text_pair": "another"}], truncation' in card.text
    assert "- labels: a number (regression)" in card.text


def test_names_of_strangers_are_text() -> None:
    bad = "<b>|\n# x ![](https://x.org)"
    about = dict.fromkeys(FACTS.about, bad)
    card = card_of(replace(FACTS, about=about, labels=(bad, "b"), credits={"author": bad}))
    assert {"base_model", "datasets"}.isdisjoint(card.data.to_dict())
    for markup in ("<b>", "\n# x", "![", "https://"):
        assert markup not in card.text


def test_the_command_of_a_finetuning_names_no_place(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [0]})
    data = datasets.DatasetDict(train=rows)
    options = FinetuneOptions("mood", "owner/encoder", out=tmp_path / "mood", data=data, group="x")
    assert options.command == (
        "cache-teacher finetune --task mood --model owner/encoder --data DatasetDict"
    )


@pytest.mark.parametrize("credits", [{"license": "a\nb"}, {"author": ""}, {"language": "English"}])
@pytest.mark.parametrize("make", [FinetuneOptions, BuildOptions])
def test_credits_are_checked_at_once(make: Any, credits: dict[str, str]) -> None:
    given: dict[str, Any] = {"model": "m"} if make is FinetuneOptions else {"pairs": 0}
    with pytest.raises(UsageError, match=f"^--{next(iter(credits))}: expected "):
        make(task="rte", **given, **credits)
