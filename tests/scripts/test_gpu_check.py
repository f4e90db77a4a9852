"""The check for machines with a GPU, run as it is and small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(240)
def test_it_passes_from_another_folder(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [sys.executable, ROOT / "scripts" / "gpu_check", "--pairs", "96", "--rows", "64"],
        check=False,
        cwd=tmp_path,
        env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["passed"]
    assert report["gpu"] is None
    assert set(report["checks"]) == {"float32", "auto"}
    for check in report["checks"].values():
        assert check["rows"] == 96 + 64 + 16
        assert check["rerun_wrong"] == []
        assert check["losses"]
    assert list(tmp_path.iterdir()) == []
