"""A disk that is full, or fails, from one operation on: named errors, then the build resumes."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared.errors import DiskError, OutputError
from mixkd.shared.publish import is_temporary
from tests import tiers
from tests.faults.reading import read_all
from tests.faults.test_crash_points import check_invariant
from tests.goldens import make
from tests.tiers import Part

PAIRS = 20


class FailingDisk:
    """Operations of the `kinds` fail from number `at` on, all of them or only the first."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        kinds: tuple[str, ...],
        at: int,
        number: int,
        once: bool,
    ) -> None:
        self.count = 0
        self.failed = 0
        self._at, self._number, self._once = at, number, once
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        for name in kinds:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            if self.count > self._at and not (self._once and self.failed):
                self.failed += 1
                raise OSError(self._number, os.strerror(self._number))
            return real(*arguments, **more)

        return call


def said_by_a_build(root: Path, shard_format: str) -> str | None:
    """The named error of a build, None if it came to its end; any other error is raised."""
    try:
        make.make(root, shard_format, PAIRS)
    except (DiskError, OutputError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("part", tiers.parts(every=5), ids=str)
@pytest.mark.parametrize(
    ("shard_format", "kinds", "number", "once"),
    [
        ("arrow", ("write", "mkdir"), errno.ENOSPC, False),
        ("hdf5", ("write", "mkdir"), errno.ENOSPC, False),
        ("arrow", ("link", "replace", "mkdir"), errno.ENOSPC, False),
        ("arrow", ("fsync",), errno.EIO, False),
        ("arrow", ("unlink",), errno.EIO, True),
        ("arrow", ("write", "link", "replace", "mkdir", "fsync"), errno.EROFS, False),
    ],
    ids=["full", "full_hdf5", "no_names", "no_sync", "no_removing", "read_only"],
)
def test_from_each_operation_on(
    tmp_path: Path, part: Part, shard_format: str, kinds: tuple[str, ...], number: int, once: bool
) -> None:
    expected = (make.make(tmp_path / "whole", shard_format, PAIRS) / "MANIFEST.json").read_bytes()
    for at in part.endless():
        root = tmp_path / "cache"
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, kinds, at, number, once)
            text = said_by_a_build(root, shard_format)
        if text is None:
            assert not disk.failed, f"operation {at}: the failure was not noticed"
            assert at > 5
            return
        assert os.strerror(number) in text
        assert "\n" not in text
        if "unlink" not in kinds:
            assert not [path for path in root.rglob("*") if is_temporary(path.name)]
        check_invariant(root)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: None)
            make.make(root, shard_format, PAIRS)
        assert (root / "MANIFEST.json").read_bytes() == expected, f"operation {at}"
        read_all(root)
        shutil.rmtree(root)
