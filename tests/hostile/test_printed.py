"""What a stranger wrote reaches no terminal as it is: every command that prints it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from mixkd.shared.cache.facts import cache_facts
from mixkd.shared.cache.reader import Cache
from mixkd.teacher_cache import run
from mixkd.teacher_cache.cli import cache_teacher
from tests import caches
from tests.numpy_caches import sealed

ESCAPE = "\x1b]0;gone\x07\x1b[2J"
LABELS = (f"{ESCAPE}yes", "n\ro\nno")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return sealed(tmp_path / "cache", 16, label_names=LABELS, about={"teacher": ESCAPE})


@pytest.mark.parametrize("command", ["build", "info", "seal", "verify", "repair"])
def test_no_escape_reaches_a_terminal(
    root: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    result = run.BuildResult(cache_facts(Cache.open(root)))
    monkeypatch.setattr(run, "build_cache", lambda options: result)
    if command in ("verify", "repair"):
        (root / "seals" / f"{ESCAPE.replace('/', '')}.json").write_bytes(b"{}")
        (root / "commits" / "pairs-000000000.json").write_bytes(b"{}")
    options = ["--task", "rte", "--pairs", "0", "--out", str(root)]
    arguments = options if command == "build" else [command, str(root)]
    shown = CliRunner().invoke(cache_teacher, arguments)
    assert shown.output
    assert not {"\x1b", "\x07", "\r"} & set(shown.output)
    if command in ("build", "info"):
        assert "\\x1b]0;gone" in shown.output


def test_the_cache_is_otherwise_usable(root: Path) -> None:
    caches.seal(root)
    assert Cache.open(root).identity.label_names == LABELS
