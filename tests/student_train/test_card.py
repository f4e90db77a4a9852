"""A student's card as the Hub reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import ModelCard

from mixkd.shared.cache.runs import TeacherSpeed
from mixkd.shared.errors import UsageError
from mixkd.student_train.card import model_card
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.report import card_facts
from mixkd.student_train.results import CardFacts, TrainResult
from mixkd.student_train.train import train
from tests.hub.cards import check_card

HUB = {
    "task": "mood",
    "data": "owner/moods",
    "data_config": "plain",
    "data_revision": "0" * 40,
    "data_license": "cc-by-4.0",
    "teacher": "owner/teacher",
    "teacher_revision": "1" * 40,
    "language": "en",
}
Facts = Callable[..., CardFacts]


@pytest.fixture(scope="module")
def result(pair_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("card") / "student"
    credits = {"license": "Apache-2.0", "author": "Jo", "language": "de"}
    options = TrainOptions(pair_cache, layers=1, epochs=1, device="cpu", out=out, **credits)
    done = train(options)
    assert done is not None
    check_card((out / "README.md").read_text(encoding="utf-8"), "model")
    return done


@pytest.fixture
def facts() -> Facts:
    """What a card says of a run of these options on a cache of which this is said."""

    def of(about: dict[str, Any], **options: Any) -> CardFacts:
        cache: Any = SimpleNamespace(about=about, examples=lambda: SimpleNamespace(text_b=None))
        return card_facts(TrainOptions("shards/mood", **options), cache)

    return of


def card_of(result: TrainResult) -> ModelCard:
    card = model_card(result)
    check_card(str(card), "model")
    return ModelCard(str(card))


def test_the_card_of_a_run(result: TrainResult) -> None:
    card = card_of(result)
    assert card.data.license == "apache-2.0"
    assert card.data.language == ["de"]
    assert card.data.metrics == ["accuracy", "f1", "matthews_correlation"]
    assert {"base_model", "datasets"}.isdisjoint(card.data.to_dict())
    scores = {r.metric_name: r.metric_value for r in card.data.eval_results or ()}
    assert scores == {
        name.replace("_", " "): round(value, 6)
        for name, value in result.metrics["validation"].items()
        if "teacher" not in name and "calibration" not in name
    }
    for text in (
        "- author: Jo",
        'classify([{"text": "a text", "text_pair": "another"}], truncation=True, max_length=64)',
        "train-student --cache three --layers 1 --epochs 1 --device cpu "
        "--license Apache-2.0 --author Jo --language de",
        "seed 0",
    ):
        assert text in card.text


def test_what_the_hub_knows(result: TrainResult, facts: Facts) -> None:
    card = card_of(replace(result, card=facts(HUB), task="mood"))
    assert card.data.base_model == "owner/teacher"
    assert card.data.datasets == ["owner/moods"]
    assert card.data.language == ["en"]
    assert "license" not in card.data.to_dict(), "the licence of data is not a model's"
    assert card.data.model_name == "student for mood"
    first = (card.data.eval_results or [])[0]
    assert (first.dataset_type, first.dataset_config, first.dataset_split) == (
        *("owner/moods", "plain"),
        "validation",
    )
    assert "- licence of the data: cc-by-4.0" in card.text
    assert f"- revision of the teacher: {'1' * 40}" in card.text


def test_the_base_model_is_what_the_weights_are_from(facts: Facts, tmp_path: Path) -> None:
    assert facts(HUB).base_model == "owner/teacher"
    assert facts(HUB, student="distilbert/base").base_model == "distilbert/base"
    assert facts(HUB, student=str(tmp_path)).base_model is None
    assert facts({"teacher": "folder"}).base_model is None
    assert facts({}).base_model is None


def test_names_of_strangers_are_text(result: TrainResult, facts: Facts) -> None:
    bad = "<b>|\n---\n# x ![](https://x.org)"
    student = replace(result.student, labels=(bad, "b", "c"), start=bad)
    spoiled = replace(result, card=facts(dict.fromkeys(HUB, bad)), student=student, task=bad)
    card = card_of(spoiled)
    assert {"base_model", "datasets", "language"}.isdisjoint(card.data.to_dict())
    for markup in ("<b>", "\n# x", "![", "https://"):
        assert markup not in card.text


def test_very_much_of_a_stranger_is_cut(result: TrainResult, facts: Facts) -> None:
    labels = tuple(map(str, range(1000)))
    student = replace(result.student, labels=labels)
    about = dict.fromkeys(HUB, "x" * 10_000)
    card = card_of(replace(result, card=facts(about), student=student))
    assert "199 and 800 more" in card.text
    assert len(str(card)) < 8000


@pytest.mark.parametrize("credits", [{"license": "a\nb"}, {"author": ""}, {"language": "English"}])
def test_credits_are_checked_at_once(credits: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^--{next(iter(credits))}: expected "):
        TrainOptions("shards/rte", **credits)


def test_credits_do_not_decide_the_outcome() -> None:
    plain = TrainOptions("shards/rte")
    assert plain.settings() == TrainOptions("shards/rte", license="mit", author="Jo").settings()


def test_the_teacher_is_beside_the_student_as_far_as_its_cache_says(result: TrainResult) -> None:
    known = replace(result, teacher_speed=TeacherSpeed(99.0, "cpu", "float32", 2_500_000, 6.5))
    assert "| parameters | 2,500,000 |" in str(card_of(known))
    assert "| weights, MB | 10.0 |" in str(card_of(known))
    assert "| ms for one example | 6.5 (cpu) |" in str(card_of(known))
    assert "| parameters |  |" in str(card_of(result))
