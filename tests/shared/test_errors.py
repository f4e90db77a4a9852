"""A message is one line of bounded length, without control characters and without passwords."""

from __future__ import annotations

import time

import pytest

from mixkd.shared.errors import MixkdError, printable

LIMIT_S = 6
SIZE = 2**21


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:secret@host/x", "https://***@host/x"),
        ("s3:/key:sec/ret@bucket", "s3:/***@bucket"),
        ("http://token@host", "http://***@host"),
        ("git+ssh://a:b@c d http://x:y@z", "git+ssh://***@c d http://***@z"),
        ("hf://datasets/name/set@main", "hf://datasets/name/set@main"),
        ("somebody@example.org", "somebody@example.org"),
        ("a\x1b[31m\nb", "a\\x1b[31m\\nb"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_passwords_of_any_length_are_hidden() -> None:
    assert printable(f"https://user:{'s' * 5000}@host") == "https://***@host"


@pytest.mark.parametrize("unit", ["aa:/", "aa:/a:", "aa:/@"])
@pytest.mark.parametrize("end", ["", "@"])
def test_long_texts_take_no_time_out_of_proportion(unit: str, end: str) -> None:
    """2 MB of what made the pattern for passwords look ahead again and again."""
    began = time.process_time()
    MixkdError("x", expected="y", found=unit * (SIZE // len(unit)) + end, do="z")
    assert time.process_time() - began < LIMIT_S
