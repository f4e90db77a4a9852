"""Whose a folder is, and that it appears filled or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mixkd.shared.errors import OutputError
from mixkd.shared.output import check_output, filled_aside


def failed(error: OSError) -> OutputError:
    return OutputError("out", expected="to write", found=error.strerror, do="free space")


def test_a_new_an_empty_and_ones_own_folder_pass(tmp_path: Path) -> None:
    assert check_output(tmp_path / "below" / "new") == set()
    assert check_output(tmp_path) == set()
    (tmp_path / "logs").mkdir()
    assert check_output(tmp_path, lambda name: name == "logs") == {"logs"}


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "logs", ".hidden"):
        (tmp_path / name).touch()
    with pytest.raises(OutputError, match=r"expected a cache, found \.hidden, a\.txt, b\.txt; "):
        check_output(tmp_path, lambda name: name == "logs", expected="a cache")
    with pytest.raises(OutputError, match=r"a\.txt: expected a folder, found a file"):
        check_output(tmp_path / "a.txt")
    with pytest.raises(OutputError, match=r"a\.txt: expected a folder, found a file"):
        check_output(tmp_path / "a.txt" / "below")


def test_a_folder_filled_aside_is_put_in_place_by_the_caller(tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    (aside / "of an earlier run").touch()

    def write(folder: Path) -> None:
        (folder / "model").write_text("weights")

    with filled_aside(aside, write, failed):
        assert [file.name for file in aside.iterdir()] == ["model"]
        aside.rename(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OSError(errno.ENOSPC, "no space"), OutputError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
@pytest.mark.parametrize("late", [False, True])
def test_whatever_fails_nothing_stays_aside(
    tmp_path: Path, error: BaseException, expected: type[BaseException], late: bool
) -> None:
    def write(folder: Path) -> None:
        (folder / "model").touch()
        if not late:
            raise error

    with pytest.raises(expected), filled_aside(tmp_path / "aside", write, failed):
        raise error
    assert list(tmp_path.iterdir()) == []
