"""A run from a local cache runs no foreign code and no other program, and opens no connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiers
from tests.student_train.caches import make_cache

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("shard_format", ["arrow", tiers.slow("hdf5")])
def test_a_whole_run_under_an_audit_hook(
    shard_format: str, good_teacher: Path, tmp_path: Path
) -> None:
    """Opening, reading, loading the student, training, a checkpoint and its resume, writing.

    Neither torch nor accelerate raise one of the forbidden events: they write checkpoints with
    pickle, which raises none, and read them without looking up classes by name.
    """
    cache = make_cache(tmp_path / "cache", good_teacher, shard_format=shard_format)
    students = tmp_path / "students"
    students.mkdir()
    found = subprocess.run(
        [sys.executable, "-m", "tests.student_train.guarded", str(cache), str(students)],
        check=False,
        cwd=ROOT,
        # As a user's environment is: nothing tells the libraries to stay offline.
        env={key: value for key, value in os.environ.items() if not key.startswith("HF_HUB_OFF")},
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    assert said["calls"] == []
    assert said["sees"] and said["teacher"] == []
    strange = [path for path in said["opened"] if not is_own(Path(path))]
    assert strange == []


def is_own(path: Path) -> bool:
    """Python itself, what the system says of this process, or the versions of packages."""
    return (
        path.is_relative_to(sys.base_prefix)
        or path.is_relative_to("/proc")
        or path.name in ("METADATA", "PKG-INFO")
    )
