"""Whose a folder is, and that it appears filled or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.errors import DiskError, OutputError
from mixkd.shared.output import check_output, claimed, filled_aside, scratch_folder


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


def test_a_claim_keeps_others_out_and_leaves_nothing(tmp_path: Path) -> None:
    working = tmp_path / "out" / "working"
    with claimed(working, tmp_path / "out") as claim:
        claim.check()
        refused = r"out: expected a folder that no other run writes, found a run that is going on"
        with pytest.raises(OutputError, match=refused), claimed(working, tmp_path / "out"):
            pass
        claim.check()
    assert list((tmp_path / "out").iterdir()) == []
    with claimed(working, tmp_path / "out"):
        (working / "checkpoint").touch()
    assert [path.name for path in working.iterdir()] == ["checkpoint"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_killed_process_holds_no_claim(tmp_path: Path) -> None:
    began = os.pipe()
    child = os.fork()
    if child == 0:
        with claimed(tmp_path / "working", tmp_path):
            os.write(began[1], b"1")
            signal.pause()
        os._exit(0)
    os.read(began[0], 1)
    refused = pytest.raises(OutputError, match="a run that is going on")
    with refused, claimed(tmp_path / "working", tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / "working" / "lock").exists()
    with claimed(tmp_path / "working", tmp_path):
        pass
    assert not (tmp_path / "working").exists()


def test_a_lock_whose_file_was_removed_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the run that held it ends between opening and locking."""
    working, real = tmp_path / "working", fcntl.flock
    locked = []

    def flock(descriptor: int, operation: int) -> None:
        if not locked:
            (working / "lock").unlink()
            working.rmdir()
        locked.append(descriptor)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with claimed(working, tmp_path) as claim:
        claim.check()
    assert len(locked) == 2


def test_without_locks_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claimed(tmp_path / "working", tmp_path) as claim:
        claim.check()
    assert "has no locks; start no second run there" in caplog.text


def test_a_folder_that_was_moved_is_not_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claimed(out / "working", out) as claim:
        out.rename(tmp_path / "elsewhere")
        (out / "working").mkdir(parents=True)
        with pytest.raises(OutputError, match="found that it was moved or removed"):
            claim.check()
    assert (out / "working").is_dir()


@pytest.mark.parametrize("out", ["x" * 300, "y" * 300 + "/student", "student/" + "z" * 5000])
def test_a_name_that_is_too_long(tmp_path: Path, out: str) -> None:
    with pytest.raises(OutputError, match=r"can be written, found a name of \d+ bytes"):
        check_output(tmp_path / out)


@pytest.mark.parametrize("lock", ["link", "folder", "pipe"])
def test_a_lock_that_is_something_else(tmp_path: Path, lock: str) -> None:
    (tmp_path / "working").mkdir()
    path = tmp_path / "working" / "lock"
    if lock == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif lock == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    if lock == "pipe":  # which can be locked as well
        with claimed(tmp_path / "working", tmp_path):
            return
    refused = pytest.raises(OutputError, match="expected a folder that can be written")
    with refused, claimed(tmp_path / "working", tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_for_temporary_files_is_named() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(DiskError, match="expected room for temporary files, found .* TMPDIR"),
        scratch_folder() as folder,
    ):
        raise full
    assert not folder.exists()
    with pytest.raises(KeyError), scratch_folder():
        raise KeyError
