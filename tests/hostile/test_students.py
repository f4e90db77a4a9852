"""Hostile students and tokenizers of sealed caches: refused by name, in bounded memory and time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests import tiers
from tests.conftest import Tally
from tests.hostile import fuzz_students
from tests.hostile.make_students import LOADED, MEMORY_BYTES, STUDENTS
from tests.hostile.opener import Open, opening
from tests.hostile.watch import spoiled
from tests.student_train.caches import make_cache


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, good_teacher: Path) -> Path:
    """A cache that a student can be trained on; copy it before you spoil it."""
    return make_cache(tmp_path_factory.mktemp("good") / "cache", good_teacher)


@pytest.fixture(scope="module")
def load(good: Path) -> Iterator[Open]:
    """Loads a student in a child of its own; see `tests/hostile/student_opener.py`."""
    with opening("tests.hostile.student_opener", good) as load_one:
        yield load_one


def test_a_good_student_is_loaded_within_the_limits(load: Open, good: Path) -> None:
    assert load(good, MEMORY_BYTES) == {"error": None, "text": "", "calls": []}


@pytest.mark.parametrize("name", STUDENTS)
def test_refused(load: Open, good: Path, tmp_path: Path, name: str, tally: Tally) -> None:
    hostile = STUDENTS[name]
    with spoiled(good, hostile.spoil, tmp_path) as root:
        found = load(root, hostile.memory_bytes)
    tally("hostile caches refused", int(found["error"] in hostile.errors), of=1)
    assert found["error"] in hostile.errors, found
    assert found["calls"] == []
    assert found["text"].isprintable() and len(found["text"]) < 1000


@pytest.mark.parametrize("name", LOADED)
def test_suspicious_but_harmless(load: Open, good: Path, tmp_path: Path, name: str) -> None:
    with spoiled(good, LOADED[name].spoil, tmp_path) as root:
        assert load(root, MEMORY_BYTES) == {"error": None, "text": "", "calls": []}


@pytest.mark.parametrize(
    ("seed", "seconds"), [tiers.sample(0, 6), tiers.slow(0, 15), tiers.slow(1, 120, timeout_s=1200)]
)
def test_every_case_is_loaded_or_refused(seed: int, seconds: float, tally: Tally) -> None:
    report = fuzz_students.run(seed, seconds)
    tally("fuzz executions past the digest", report.past, of=report.executions)
    assert report.finds == []
    assert set(report.ends) >= {"loaded", "MalformedError"}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({"error": "not a MixkdError: KeyError"}, "not a MixkdError: KeyError"),
        ({"error": "exit -9"}, "exit -9"),
        ({"error": "MalformedError", "text": "two\nlines"}, "not one printable line"),
        ({"calls": ["os.system ('true',)"]}, "the call os.system"),
    ],
)
def test_faults_of_loading_are_found(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], fault: str
) -> None:
    def load(root: Path, memory_bytes: int) -> dict[str, Any]:
        return {"error": None, "text": "", "calls": [], **answer}

    monkeypatch.setattr(fuzz_students, "ENCODERS", ("bert",))
    monkeypatch.setattr(fuzz_students, "opening", lambda module, *goods: nullcontext(load))
    report = fuzz_students.run(seed=0, seconds=0.1)
    assert len(report.finds) == report.executions > 0
    assert fault in report.finds[0]
