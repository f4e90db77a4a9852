"""Hostile students and tokenizers of sealed caches: refused by name, in bounded memory and time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests import tiers
from tests.conftest import Tally
from tests.hostile import fuzz_configs, fuzz_students
from tests.hostile.make_students import LOADED, MEMORY_BYTES, STUDENTS
from tests.hostile.opener import Open, opening
from tests.hostile.student_registry import VOCABULARY
from tests.hostile.watch import spoiled
from tests.student_train.caches import make_cache

FINDS = Path(__file__).parent / "finds" / "students"


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
    tally("structured fuzz executions past the typed decoder", report.decoded, of=report.structured)
    assert report.finds == []
    assert report.decoded > 0.5 * report.structured
    assert {end.partition(" ")[0] for end in report.ends} >= {"loaded", "MalformedError"}


@pytest.mark.parametrize("path", sorted(FINDS.glob("*.zip")), ids=lambda path: path.stem)
def test_a_find_is_mended(load: Open, tmp_path: Path, path: Path) -> None:
    case = fuzz_students.kept(path)
    good = fuzz_students.good_cache(tmp_path, case.family)
    found = fuzz_students.loaded(load, good, case, tmp_path)
    assert fuzz_students.fault_of(found) is None, found


def test_finds_are_kept(good: Path, tmp_path: Path) -> None:
    for number in range(20):
        case = fuzz_students.draw(Random(number), {"bert": good})
        fuzz_students.keep(tmp_path / "find.zip", case, case.steps)
        again = fuzz_students.kept(tmp_path / "find.zip")
        assert (again.family, again.files, again.hidden) == (case.family, case.files, case.hidden)


def test_every_change_is_made_and_follows_from_its_number(good: Path) -> None:
    """And most of what is done to a tokenizer leaves one, so that its limits are reached."""
    draws = [fuzz_students.draw(Random(number), {"bert": good}) for number in range(300)]
    assert draws == [fuzz_students.draw(Random(n), {"bert": good}) for n in range(300)]
    kinds = {case.steps.partition(",")[0] for case in draws}
    assert kinds == {"any", *fuzz_configs.CHANGES}
    edited = [case.files[VOCABULARY] for case in draws if case.steps.startswith("tokenizer")]
    assert sum(map(_is_tokenizer, edited)) > 0.6 * len(edited) > 10


def _is_tokenizer(data: bytes) -> bool:
    from tokenizers import Tokenizer

    # What asks for memory without end, or panics, is loaded in a child only.
    if b"Precompiled" in data or b"BPE" in data:
        return False
    try:
        Tokenizer.from_buffer(data)
    except ValueError:
        return False
    return True


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
