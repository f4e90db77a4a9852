"""A `DatasetDict` in a notebook: `docs/first_hour.ipynb`, cell by cell, with a tiny model."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mixkd
from tests.journeys.conftest import BASE_MODEL
from tests.miniature import tiny_data
from tests.pages import read

NOTEBOOK = "docs/first_hour.ipynb"
LINES = 12  # of a cell
# In place of the first cell's, which says that these are what one may want to change.
SETTINGS = {"MODEL": BASE_MODEL, "DATA": "rows", "TASK": "films", "PAIRS": 30}
SETTINGS |= {"RATE": 1e-3, "EPOCHS": 2}


def cells() -> list[dict[str, Any]]:
    notebook: dict[str, Any] = json.loads(read(NOTEBOOK))
    found: list[dict[str, Any]] = notebook["cells"]
    return found


def sources() -> list[str]:
    return ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code"]


def test_the_file_is_a_notebook_without_traces_of_a_run() -> None:
    """The format 4.5: https://nbformat.readthedocs.io/en/latest/format_description.html"""
    text = read(NOTEBOOK)
    notebook = json.loads(text)
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    assert notebook.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook["metadata"] == {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in cells():
        common = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "markdown":
            assert cell.keys() == common
        else:
            assert cell.keys() == common | {"execution_count", "outputs"}
            assert (cell["cell_type"], cell["execution_count"], cell["outputs"]) == (
                "code",
                None,
                [],
            )
        assert cell["metadata"] == {}
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        assert 0 < len(cell["source"]) <= LINES
        assert not cell["source"][-1].endswith("\n")
    ids = [cell["id"] for cell in cells()]
    assert len({*ids}) == len(ids)


def test_its_first_cell_holds_the_settings() -> None:
    names: dict[str, Any] = {}
    exec(sources()[0], names)
    assert names.keys() - {"__builtins__"} == SETTINGS.keys()
    assert {type(names[name]) for name in SETTINGS} == {str, int, float}


@pytest.fixture
def level() -> Iterator[None]:
    """The level of mixkd's log, which the notebook sets, as it was."""
    log = logging.getLogger("mixkd")
    before = log.level
    yield
    log.setLevel(before)


@pytest.mark.usefixtures("level")
def test_every_cell_runs(
    desk: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = tiny_data(desk / "rows", rows=48)
    held_out = data / "validation.tsv"
    held_out.with_name("test.tsv").write_bytes(held_out.read_bytes())
    names = dict(SETTINGS)
    for source in sources()[1:]:
        exec(compile(source, NOTEBOOK, "exec"), names)
        last = ast.parse(source).body[-1]
        if isinstance(last, ast.Expr):  # which a notebook shows
            assert repr(eval(ast.unparse(last), names))
    assert names["trained"].settings.method == "kd"
    assert names["measured"].examples == names["teacher"].examples == 24
    assert mixkd.verify_claims("shards/films", deep=True, teacher="teachers/films").findings == ()
    assert "the teacher is right on" in capsys.readouterr().out
    assert "saving the student …" in caplog.messages
