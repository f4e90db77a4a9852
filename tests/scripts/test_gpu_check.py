"""The check for machines with a GPU, run as it is and small, and what it makes of its steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixkd.shared.errors import DeviceMemoryError
from scripts.gpu import steps
from scripts.gpu.bench import TINY, Bench, follow_advice
from scripts.gpu.outcome import Failed, NotTested
from scripts.gpu.steps import Numbers, run_slot
from tests import tiers

ROOT = Path(__file__).resolve().parents[2]
ON_CPU = {"automatic_format", "tensorfloat32", "cache_in_float32", "cache_in_auto"}
ON_CPU_TOO = {"stages", "stopped_and_resumed", "estimate", "two_builds", "float16"} | {
    "fine_tuning",
    "families",
    "sigterm",
}


@pytest.mark.parametrize(
    ("slot", "expected"), [tiers.sample("1", ON_CPU), tiers.slow("all", ON_CPU | ON_CPU_TOO)]
)
def test_what_a_cpu_can_do_passes_from_another_folder(
    slot: str, expected: set[str], tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    elsewhere, report_file = tmp_path / "elsewhere", tmp_path / "report.json"
    elsewhere.mkdir()
    found = subprocess.run(
        [sys.executable, ROOT / "scripts" / "gpu_check", "--slot", slot, "--json", report_file],
        check=False,
        cwd=elsewhere,
        env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    report = json.loads(report_file.read_text())
    assert report["passed"]
    assert report["gpu"] is None
    results = {step["name"]: step for step in report["steps"]}
    # A CPU without a lower format of its own has no automatic one to test.
    tested = {name for name, step in results.items() if step["status"] == "passed"}
    assert expected - {"automatic_format"} <= tested <= expected
    assert results["cache_in_float32"]["numbers"]["rows"] == 96 + 64 + 16
    assert "attention kernels" in found.stdout
    assert all(step["reason"] for step in results.values() if step["status"] == "not tested")
    assert list(elsewhere.iterdir()) == []


def good(bench: Bench) -> Numbers:
    """Passes"""
    return {"rows": bench.rows}


def bad(bench: Bench) -> Numbers:
    """Does not hold"""
    raise Failed("two differ")


def broken(bench: Bench) -> Numbers:
    """Is a bug"""
    raise KeyError("rows")


def missing(bench: Bench) -> Numbers:
    """Needs what is not there"""
    raise NotTested("there is one card")


def test_each_step_has_a_result_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, 8, 8, TINY)
    results = run_slot((broken, bad, missing, good), bench)
    assert [(result.name, result.title, result.status, result.reason) for result in results] == [
        ("broken", "Is a bug", "failed", "KeyError: 'rows'"),
        ("bad", "Does not hold", "failed", "two differ"),
        ("missing", "Needs what is not there", "not tested", "there is one card"),
        ("good", "Passes", "passed", ""),
    ]
    assert results[-1].numbers == {"rows": 8}
    monkeypatch.setattr(steps, "SLOT_S", -1.0)
    assert run_slot((good,), bench)[0].reason == "the slot's time was over"


def test_advice_is_followed_until_it_fits_or_ends() -> None:
    def run(value: int | None, advice: str = "try --batch-size {half}") -> int:
        value = value or 64
        if value > 16:
            do = advice.format(half=value // 2, same=value)
            raise DeviceMemoryError("cuda", expected="room", found="out of memory", do=do)
        return value

    assert follow_advice("--batch-size", run) == (16, [32, 16])
    with pytest.raises(Failed, match=r"after \[\] the advice is: use --device cpu"):
        follow_advice("--batch-size", lambda value: run(value, "use --device cpu"))
    with pytest.raises(Failed, match=r"does not fit after \[64, 64"):
        follow_advice("--batch-size", lambda value: run(value, "try --batch-size {same}"))
