"""What a stranger wrote is shown as text, whatever it looks like."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from mixkd.shared.markdown import listed, plain

TEXTS = [
    "![](https://example.org/beacon.png)",
    "[click](https://example.org)",
    "<img src=x onerror=alert(1)>",
    "<!-- hidden",
    "a | b | c",
    "`code` and ``more``",
    "**bold** _soft_ ~~gone~~ __init__",
    "# heading",
    "a\n\n# heading\n---",
    "&lt;b&gt; &#60;",
    "back\\slash \\* \\",
    "$x^2$",
    "[1]: https://example.org",
    "google/bert_uncased_L-2_H-128",
]


def rendered(text: str) -> str:
    """As text between the cells of a table."""
    table = f"| a | b |\n|---|---|\n| {text} | end |\n"
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(table)
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    assert cells[3].content == "end"
    children = cells[2].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    return "".join(child.content for child in children)


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_shown_as_it_is(text: str) -> None:
    assert rendered(plain(text)) == text.replace("\n", "\\n")


def test_addresses_do_not_become_links() -> None:
    assert "://" not in plain("see https://example.org")
    assert "www." not in plain("see www.example.org")
    assert "@" not in plain("a@example.org")


def test_names_stay_readable_and_long_texts_are_cut() -> None:
    assert plain("google/bert_uncased_L-2_H-128") == "google/bert_uncased_L-2_H-128"
    assert len(plain("x" * 10**6)) == 1000


def test_a_list_of_very_many_is_cut() -> None:
    assert listed(["a*", "b"]) == r"a\*, b"
    assert listed([]) == ""
    assert listed(range(1000)).endswith("198, 199 and 800 more")
