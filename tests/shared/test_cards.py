"""What goes into the metadata of cards: licences, languages, Hub ids, results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCardData

from mixkd.shared import cards
from mixkd.shared.errors import UsageError


@pytest.mark.parametrize(
    ("texts", "fields"),
    [
        ((None, None), {}),
        ((None, ""), {}),
        (("MIT", "gpl"), {"license": "mit"}),
        ((None, "cc-by-4.0"), {"license": "cc-by-4.0"}),
        (("Apache 2.0",), {"license": "apache-2.0"}),
        (("mit, cc0-1.0",), {"license": ["mit", "cc0-1.0"]}),
        (("ask us\n",), {"license": "other", "license_name": "ask us\\n"}),
        ((3,), {}),
    ],
)
def test_licences(texts: tuple[Any, ...], fields: dict[str, Any]) -> None:
    assert cards.licence_fields(*texts) == fields


@pytest.mark.parametrize(
    ("text", "codes"),
    [("en", ["en"]), ("de, fr", ["de", "fr"]), ("English", []), ("zh-Hant", ["zh-Hant"]), (1, [])],
)
def test_languages(text: object, codes: list[str]) -> None:
    assert cards.languages(text) == codes


@pytest.mark.parametrize(
    ("name", "revision", "found"),
    [
        ("owner/name", None, "owner/name"),
        ("imdb", "0" * 40, "imdb"),
        ("imdb", None, None),
        ("a/b/c", None, None),
        ("../b", None, None),
        ("a b/c", None, None),
        (3, "0", None),
        (None, None, None),
    ],
)
def test_ids_of_the_hub(name: object, revision: object, found: str | None) -> None:
    assert cards.hub_id(name, revision) == found


def test_a_folder_is_not_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cards.is_on_hub("owner/name")
    assert cards.is_on_hub("bert-base-uncased")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert not cards.is_on_hub("owner/name")


@pytest.mark.parametrize(
    ("rows", "name"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**9, "n>1B")]
)
def test_sizes(rows: int, name: str) -> None:
    assert cards.size_category(rows) == name


@pytest.mark.parametrize(
    ("credits", "option"),
    [
        (("", None, None), "--license"),
        (("a\nb", None, None), "--license"),
        (("x" * 201, None, None), "--license"),
        ((None, " Jo", None), "--author"),
        ((None, "Jo\x1b[2J", None), "--author"),
        ((None, None, "English"), "--language"),
        ((None, None, "en, de"), "--language"),
        ((None, None, ""), "--language"),
    ],
)
def test_credits_that_no_card_can_have(credits: tuple[Any, ...], option: str) -> None:
    with pytest.raises(UsageError, match=f"^{option}: expected ") as error:
        cards.check_credits(*credits)
    assert "\x1b" not in str(error.value)


def test_credits_that_a_card_can_have() -> None:
    cards.check_credits("Apache-2.0", "Zoë & co.", "en,de,zh-Hant")
    cards.check_credits(None, None, None)


def test_results_are_read_back_as_they_were() -> None:
    scores = {
        "validation": {"accuracy": 0.75, "macro_f1": 0.5, "pearson": float("nan")},
        "validation_2": {"spearman": 0.25},
    }
    about = {"task": "mood", "data": "o/n", "data_config": "c", "data_revision": "0" * 40}
    results = cards.eval_results(scores, about)
    read = ModelCardData(**ModelCardData(model_name="m", eval_results=results).to_dict())
    assert read.eval_results == results
    assert [(r.dataset_split, r.metric_type, r.metric_value) for r in results] == [
        ("validation", "accuracy", 0.75),
        ("validation", "f1", 0.5),
        ("validation_2", "spearmanr", 0.25),
    ]
    assert {(r.dataset_type, r.dataset_config, r.dataset_revision) for r in results} == {
        ("o/n", "c", "0" * 40)
    }
