"""What a stranger's config may say; `tests/hostile` loads whole students."""

from __future__ import annotations

from typing import Any

import pytest

from mixkd.shared.errors import ModelError, UnsafeFileError
from mixkd.shared.models.untrusted import (
    Shapes,
    as_many_parameters_as,
    check_numbers,
    check_outline,
    check_shapes,
)

WHERE = "config.json"


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        ({"block_sizes": [-(10**9), 10**6, -(10**9)]}, {"a": (32, 32)}),
        ({"hidden_size": 10**9}, {"a": (32, 32), "empty": (0, 10**9)}),
        ({"text_config": {"num_hidden_layers": 10**9}}, {"a": (32, 32)}),
    ],
    ids=["negative blocks", "width of nothing", "below"],
)
def test_numbers_that_no_weights_explain(config: dict[str, Any], shapes: Shapes) -> None:
    with pytest.raises(UnsafeFileError, match=r"expected \w+ of at most"):
        check_numbers(config, shapes, WHERE)


def test_a_head_that_would_be_larger_than_its_encoder() -> None:
    there: Shapes = {"bert.a": (32, 32)}
    with pytest.raises(UnsafeFileError, match="a head no larger than the encoder"):
        check_shapes({**there, "classifier.weight": (2**13, 2**13)}, "bert.", there, WHERE)


def test_an_encoder_that_would_be_made_up() -> None:
    there: Shapes = {"bert.a": (32, 32)}
    with pytest.raises(ModelError, match=r"none for bert\.b and 0 more"):
        check_shapes({**there, "bert.b": (32,)}, "bert.", there, WHERE)


def test_building_ends_where_there_are_more_parameters_than_weights() -> None:
    import torch

    built: list[torch.nn.Module] = []

    def build() -> None:
        with as_many_parameters_as({"a": (1,), "b": (1,)}, WHERE):
            while True:
                built.append(torch.nn.Linear(1, 1))

    with pytest.raises(UnsafeFileError, match="at most 132 parameters for 2 tensors"):
        build()
    assert len(built) == 66
    torch.nn.Linear(1, 1)  # nobody counts any more


def test_buffers_that_weigh_more_than_a_student() -> None:
    """Older decoders have a table of positions by positions in every layer."""
    import torch

    model = torch.nn.Module()
    model.base_model_prefix = "model"
    model.register_buffer("bias", torch.empty(2**13, 2**14, dtype=torch.bool, device="meta"))
    with pytest.raises(UnsafeFileError, match="buffers of at most 67108864 bytes"):
        check_outline(model, {}, WHERE)
