"""What workers share is made once, whole, and by one of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.once import made_once


@pytest.fixture(params=["", "gw0"], ids=["alone", "beside_others"])
def factory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Of temporary folders, as a worker has it and as a run without workers has it."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    if request.param:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", request.param)
    return SimpleNamespace(getbasetemp=lambda: tmp_path / "run" / request.param)


def test_made_by_the_first_of_many(factory: Any, tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        time.sleep(0.1)
        folder.mkdir()
        made.append(folder)

    threads = [threading.Thread(target=made_once, args=(factory, "x", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert made_once(factory, "x", make) == tmp_path / "run" / "once" / "x"
    assert (tmp_path / "run" / "once" / "x").is_dir()


def test_what_a_failure_leaves_is_not_taken(factory: Any) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        made_once(factory, "x", fail)
    folder = made_once(factory, "x", lambda folder: folder.mkdir())
    assert list(folder.iterdir()) == []
