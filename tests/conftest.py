"""What every test gets: no network, one thread, fixed seeds, own folders for downloads.

The environment is set here, before any test module imports `transformers` or `datasets`. Tests that
attack something say how often to `tally`; the counts are a table at the end of the run.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.once import made_once

CACHES = tempfile.mkdtemp(prefix="mixkd-tests-")
os.environ["HF_HOME"] = CACHES
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_TOKEN", "TRANSFORMERS_CACHE"):
    os.environ.pop(name, None)

TALLIED = (
    "crash points exercised",
    "random kills survived",
    "disk failures survived",
    "student faults survived",
    "lost-write prefixes",
    "bit flips refused",
    "hostile caches refused",
    "lies told and found",
    "fuzz executions past the digest",
    "structured fuzz executions past the typed decoder",
    "rows checked",
    "rows computed twice by builders",
    "simulated GPU checks",
)
COUNTS = {name: [0, 0] for name in TALLIED}  # of this process; the controller adds up the workers'
Tally = Callable[..., None]
USUAL_TIMEOUT_S = 600  # of a slow machine; what is marked with more is long on every machine

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_unconfigure() -> None:
    shutil.rmtree(CACHES, ignore_errors=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark what counts something, so that the slow run can include it: its table is then whole.

    Once the tests that this run leaves out are gone, the long ones are put first.
    """
    for item in items:
        if "tally" in getattr(item, "fixturenames", ()):
            item.add_marker("counted")
    yield
    begin_with_the_long_ones(items)


def begin_with_the_long_ones(items: list[pytest.Item]) -> None:
    """Put what may take long first, half of it at the start of each half of the list.

    Of two workers each begins with one half, so that none is left with a long test at the end.
    """
    rest = [item for item in items if may_take_s(item) <= USUAL_TIMEOUT_S]
    long = [item for item in items if may_take_s(item) > USUAL_TIMEOUT_S]
    long.sort(key=may_take_s, reverse=True)
    first, second = long[0::2], long[1::2]
    cut = (len(items) + 1) // 2 - len(first)
    items[:] = [*first, *rest[:cut], *second, *rest[cut:]]


def may_take_s(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark else 0


@pytest.fixture
def tally() -> Tally:
    """Call it with one of `TALLIED`, a count, and `of` how many it was where some may fail."""

    def count(name: str, number: int, of: int | None = None) -> None:
        COUNTS[name][0] += number
        COUNTS[name][1] += number if of is None else of

    return count


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its counts to the controller."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["counts"] = COUNTS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """The controller takes what a worker has counted; one that crashed has handed over nothing."""
    for name, counts in getattr(node, "workeroutput", {}).get("counts", {}).items():
        COUNTS[name] = [mine + more for mine, more in zip(COUNTS[name], counts, strict=True)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counted = {name: counts for name, counts in COUNTS.items() if counts[1]}
    if counted:
        terminalreporter.section("what was tried against the cache")
    for name, (number, of) in counted.items():
        terminalreporter.write_line(f"{name:<34}{number:>14,} of {of:,}")


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same random state at the start of each test; torch only where a test has imported it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files and folders that are synced, in order."""
    names: list[str] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return names


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; tests that need it skip without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data sets are absent: no folder {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a small separable data set: two classes, one text column."""
    from tests import miniature

    return miniature.tiny_data(tmp_path / "data", rows=48, classes=2, pairs=False)


@pytest.fixture(scope="session")
def good_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that has learnt `tiny_data` of two classes and one text; do not write into it."""
    return _taught(tmp_path_factory, "teacher")


@pytest.fixture(scope="session")
def good_pair_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for three classes and two texts."""
    return _taught(tmp_path_factory, "pair-teacher", classes=3, pairs=True)


@pytest.fixture(scope="session")
def good_regression_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for regression on two texts."""
    return _taught(tmp_path_factory, "regression-teacher", classes=1, pairs=True)


def _taught(factory: pytest.TempPathFactory, name: str, **shape: Any) -> Path:
    from tests import miniature

    return made_once(factory, name, lambda folder: miniature.trained_teacher(folder, **shape))
