"""The command line as a process: exit codes, one-line errors, JSON, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests import tiers
from tests.commands import run

pytestmark = pytest.mark.timeout(600)  # processes that import torch, on a busy machine
ROOT = Path(__file__).resolve().parents[2]


def start(*words: str, folder: Path, **more: str) -> subprocess.Popen[str]:
    """Start a command in `folder`, with `more` in its environment."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    return subprocess.Popen(
        [sys.executable, "-m", "mixkd.teacher_cache.cli", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # A shell's background job, which the tests may be, ignores SIGINT, and so would this one.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, told = process.communicate(timeout=200)
    return process.returncode, out, told


def test_build_info_verify_seal(tmp_path: Path, good_teacher: Path, data: Path) -> None:
    words = ("--task", "tiny", "--data", str(data), "--teacher", str(good_teacher))
    code, out, told = finish(start(*words, "--pairs", "40", "--json", folder=tmp_path))
    assert code == 0, told
    assert json.loads(out)["pairs"] == 40
    said = [line.removesuffix(" …") for line in told.splitlines() if line.endswith(" …")]
    assert said == [
        *("loading the libraries", "looking at the output and the teacher's files"),
        *("reading the data", "loading the tokenizer", "tokenising the texts"),
        *("loading the teacher", "probing the teacher", "comparing number formats"),
        *("estimating, with one batch", "cutting starting points for students"),
        *(
            "computing metrics",
            "measuring the teacher alone",
            "sealing the cache",
            "measuring what the pairs add",
        ),
    ]
    assert " KiB of shards and " in told and " of starting points for students" in told
    again = ("--config", "shards/tiny.yaml", "--pairs", "40", "--quiet")
    code, out, told = finish(start(*again, folder=tmp_path))
    assert (code, told) == (0, "") and "shards/tiny" in out
    assert ": starting points " in out and " KiB" in out
    for command in ("info", "verify", "seal"):
        json.loads(run(f"cache-teacher {command} shards/tiny --json", tmp_path))
    for command, said in (("verify", "in order"), ("repair", "nothing to repair")):
        *_, last = run(f"cache-teacher {command} shards/tiny", tmp_path).splitlines()
        assert last == f"shards/tiny: {said}"
    shard = next((tmp_path / "shards/tiny/data").glob("pairs-*"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    code, out, told = finish(start("verify", "shards/tiny", folder=tmp_path))
    assert code == 1
    assert shard.name in out
    assert shard.name in run(out.strip().partition("what can be repaired: ")[2], tmp_path)
    assert "Traceback" not in told


@pytest.mark.parametrize("encoding", ["ascii", tiers.slow("latin-1")])
def test_a_narrow_terminal_a_strange_folder_and_no_reader(
    tmp_path: Path, good_teacher: Path, data: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    folder = tmp_path / "with spaces" / "caché \u202e"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    words = ("--task", "tiny", "--data", str(data), "--teacher", str(good_teacher))
    out = "späte 猫"
    code, _, told = finish(start(*words, "--pairs", "40", "--out", out, folder=folder))
    assert code == 0, told
    for command in ("info", "verify", "repair"):
        code, _, told = finish(start(command, out, folder=folder))
        assert code == 0, told
    process = start("info", out, folder=folder)
    assert process.stdout is not None
    process.stdout.close()  # as `| head` does
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(60)) == ("reading the cache \\u2026\n", 1)
    process.stderr.close()


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        (("--task", "rte"), 2, "--pairs"),
        (("--task", "rte", "--pairs", "x"), 2, "x"),
        (("--task", "unheard", "--pairs", "1"), 2, "expected"),
        (("--task", "t", "--pairs", "1", "--teacher-labels", "a,b"), 2, "whole numbers"),
        (("--task", "t", "--pairs", "1", "--time-limit", "soon"), 2, "duration"),
        (("--task", "../x", "--data", "d", "--pairs", "1"), 2, "--task: expected a plain name"),
        (("--task", "t", "--data", "d", "--pairs", "1", "--devices", "7"), 2, "0 CUDA devices"),
        (("--task", "t", "--pairs", "1", "--format", "zip"), 2, "not one of 'arrow', 'hdf5'"),
        (("--task", "t", "--pairs", "1", "--mask", "both"), 2, "not one of 'union', 'heavier'"),
        (("--task", "t", "--pairs", "1", "--logits-dtype", "int8"), 2, "'float32', 'float16'"),
        (("--task", "t", "--pairs", "1", "--dtype", "int8"), 2, "'auto', 'float32'"),
        (("finetune", "--task", "t", "--model", "m", "--dtype", "float16"), 2, "'bfloat16'"),
        (("info", "absent"), 1, "error: absent: expected the folder of a cache"),
        (("seal", "absent"), 1, "error: absent: expected the folder of a cache, found nothing"),
        (("verify", "absent"), 1, "error: absent: expected the folder of a cache, found nothing"),
        (("finetune", "--task", "unheard", "--model", "m"), 2, "--task: expected one of"),
    ],
)
def test_wrong_usage(tmp_path: Path, words: tuple[str, ...], code: int, match: str) -> None:
    found, out, told = finish(start(*words, folder=tmp_path))
    assert found == code, told
    assert match in told
    assert "Traceback" not in told
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_is_stopped_at_once_says_that_nothing_was_written(tmp_path: Path) -> None:
    process = start("--task", "t", "--data", "d", "--pairs", "1", folder=tmp_path)
    assert process.stderr is not None
    assert process.stderr.readline() == "loading the libraries …\n"
    process.send_signal(signal.SIGINT)
    code, _, told = finish(process)
    assert code == 130
    assert "error: interrupted; nothing was written yet\n" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_build_leaves_nothing_torn(
    tmp_path: Path, good_teacher: Path, data: Path, number: int, code: int
) -> None:
    words = ("--task", "tiny", "--data", str(data), "--teacher", str(good_teacher))
    more = ("--pairs", "200000", "--shard-rows", "64", "--dtype", "float32")
    process = start(*words, *more, folder=tmp_path)
    commits = tmp_path / "shards/tiny/commits"
    until = time.monotonic() + 100
    while len(list(commits.glob("pairs-*"))) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    found, _, told = finish(process)
    assert found == code, told
    assert "; what was committed stays: the same command continues" in told
    assert "Traceback" not in told
    assert not [path for path in tmp_path.rglob("*") if ".tmp-" in path.name]
    seal = told.strip().partition("can be used after: ")[2]
    assert json.loads(run(f"{seal} --json", tmp_path))["pairs"] >= 3 * 64
    run("cache-teacher verify shards/tiny --deep", tmp_path)
