"""What a stranger's config and tokenizer may say; `tests/hostile` loads whole students."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.errors import ModelError, UnsafeFileError
from mixkd.shared.models.untrusted import Shapes, check_numbers, check_shapes
from mixkd.shared.models.untrusted_tokenizer import check_tokenizer

FILE = Path("config.json")


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        ({"block_sizes": [-(10**9), 10**6, -(10**9)]}, {"a": (32, 32)}),
        ({"hidden_size": 10**9}, {"a": (32, 32), "empty": (0, 10**9)}),
        ({"num_hidden_layers": 500}, {"a": (32, 32), **{f"empty.{k}": (0,) for k in range(900)}}),
    ],
    ids=["negative blocks", "width of nothing", "depth of nothing"],
)
def test_numbers_that_no_weights_explain(config: dict[str, Any], shapes: Shapes) -> None:
    (key,) = config
    with pytest.raises(UnsafeFileError, match=f"expected {key} of at most"):
        check_numbers(config, shapes, FILE)


def test_a_head_that_would_be_larger_than_its_encoder() -> None:
    there: Shapes = {"bert.a": (32, 32)}
    with pytest.raises(UnsafeFileError, match="a head no larger than the encoder"):
        check_shapes({**there, "classifier.weight": (2**13, 2**13)}, "bert.", there, FILE)


def test_an_encoder_that_would_be_made_up() -> None:
    there: Shapes = {"bert.a": (32, 32)}
    with pytest.raises(ModelError, match=r"none for bert\.b and 0 more"):
        check_shapes({**there, "bert.b": (32,)}, "bert.", there, FILE)


@pytest.mark.parametrize(
    "value", ["-r {bait}", "below/bait"], ids=["in an option", "from the working directory"]
)
def test_paths_that_lead_out_of_a_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    bait = tmp_path / "below" / "bait"
    bait.parent.mkdir()
    bait.touch()
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cache" / "tokenizer"
    folder.mkdir(parents=True)
    config = {"mecab_kwargs": {"mecab_option": value.format(bait=bait)}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UnsafeFileError, match="files of the tokenizer's folder in mecab_option"):
        check_tokenizer(folder, 100)
