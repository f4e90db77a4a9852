"""Checks of options: what passes, and the one line that names what does not."""

from __future__ import annotations

import re

import pytest

from mixkd.shared.data.files import EXTENSIONS, PACKINGS
from mixkd.shared.errors import UsageError
from mixkd.shared.options import DATA_HELP, check, check_choice, check_count, option


def test_a_field_has_the_name_of_its_option() -> None:
    assert option("batch_size") == "--batch-size"
    for name in ("batch_size", "--batch-size"):
        with pytest.raises(UsageError, match="^--batch-size: expected more, found 0; add some$"):
            check(name, 0, False, "more", "add some")
    check("batch_size", 0, True, "more", "add some")


def test_choices_and_counts() -> None:
    check_choice("mask", "union", ("union", "heavier"))
    with pytest.raises(UsageError, match="--mask: expected one of union, heavier, found both"):
        check_choice("mask", "both", ("union", "heavier"))
    for count in (1, 2**53):
        check_count("pairs", count, 1)
    for count in (0, 2**53 + 1):
        with pytest.raises(UsageError, match=rf"from 1 to 2\^53, found {count}; give another"):
            check_count("pairs", count, 1)


def test_the_help_names_every_format() -> None:
    words = {*re.findall(r"\w+", DATA_HELP)}
    assert {name.removeprefix(".") for name in (*EXTENSIONS, *PACKINGS) if name} <= words
