"""The examples of `docs/api.md` run as they stand; the face imports nothing before it is used."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import mixkd
from tests.miniature import tiny_data
from tests.pages import ROOT, blocks
from tests.student_train.caches import make_cache

LINES = 10


def examples() -> list[str]:
    return blocks("docs/api.md", "python")


def test_each_example_is_short() -> None:
    for code in examples():
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= LINES, code


@pytest.mark.filterwarnings("ignore")  # of Trainer and its libraries
def test_the_examples_run(
    tmp_path: Path, good_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_cache(tmp_path / "shards" / "mood", good_teacher)
    tiny_data(tmp_path / "mood")
    (tmp_path / "teachers").mkdir()
    (tmp_path / "teachers" / "mood").symlink_to(good_teacher)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    try:
        for code in examples():
            exec(compile(code, "docs/api.md", "exec"), names)
    finally:
        from mixkd.student_train.objective.terms import TERMS

        TERMS.pop("margin", None)
        logging.getLogger("mixkd").setLevel(logging.NOTSET)
    for name in ("films", "memory", "asked"):
        assert mixkd.verify_claims(Path("shards") / name, deep=True).findings == ()
    assert names["result"].to_json() == names["again"].to_json()  # type: ignore[attr-defined]
    margin = mixkd.read_metrics("students/margin")
    assert margin.settings.weights["margin"] == 0.5


def test_every_name_is_there_and_lazy() -> None:
    code = (
        "import mixkd, sys\n"
        "assert not {'torch', 'transformers', 'datasets', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "for name in mixkd.__all__: getattr(mixkd, name)\n"
        "assert set(mixkd.__all__) <= set(dir(mixkd))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=110)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'mixkd' has no attribute 'cash'"):
        _ = mixkd.cash
