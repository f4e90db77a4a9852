"""Keys in the environment, and in addresses, are in no file, log or error of either command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mixkd.shared.command import Terminated
from mixkd.shared.errors import MixkdError
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.train import train
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache
from tests.numpy_caches import sealed

ROOT = Path(__file__).resolve().parents[1]
# Put together here, so that nobody's scanner takes them for real ones.
SECRETS = {
    "HF_TOKEN": "hf_" + "QXZwTest" * 4,
    "HUGGING_FACE_HUB_TOKEN": "hf_" + "JKvWTest" * 4,
    "AWS_ACCESS_KEY_ID": "AKIA" + "QXZWTEST" * 2,
    "AWS_SECRET_ACCESS_KEY": "qxzw/Tes+0" * 4,
    "AWS_SESSION_TOKEN": "FwoG" + "QXZWTest" * 4,
    "WANDB_API_KEY": "0123test" * 5,
}
PASSWORD = "qxzw-test-password"
URLS = (f"https://someone:{PASSWORD}@example.com/folder/file", f"s3://AKIATEST:{PASSWORD}@b/c/d")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


def found_in(text: bytes) -> list[str]:
    return [name for name, value in {**SECRETS, "url": PASSWORD}.items() if value.encode() in text]


def leaks(folder: Path) -> dict[str, list[str]]:
    """File -> the names of secrets in its content or name, for files that have any."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    found = {str(f): found_in(f.read_bytes()) + found_in(str(f).encode()) for f in files}
    return {name: names for name, names in found.items() if names}


def test_a_leak_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"token={SECRETS['HF_TOKEN']}")
    assert leaks(tmp_path) == {str(tmp_path / "file"): ["HF_TOKEN"]}


def test_builds_and_students_hold_none(
    environment: dict[str, str],
    data: Path,
    good_teacher: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A build, an interrupted student with its checkpoint, and a finished one."""
    caplog.set_level("DEBUG")
    root = tmp_path / "cache"
    build_cache(
        BuildOptions(
            task="tiny",
            pairs=60,
            teacher=str(good_teacher),
            data=str(data),
            out=root,
            shard_rows=32,
        )
    )
    assert {"MANIFEST.json", "README.md", "runs"} <= {path.name for path in root.iterdir()}
    assert leaks(root) == {}

    def stop(done: int, losses: Mapping[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    out = tmp_path / "student"
    options = {"cache": (root,), "out": out, "epochs": 1, "device": "cpu", "log_steps": 1}
    with pytest.raises(Terminated):
        train(TrainOptions(**options), stop)
    assert list(out.glob("checkpoints/step-*/run.json"))
    assert leaks(out) == {}
    train(TrainOptions(**options, resume=True))
    assert (out / "metrics.json").exists()
    assert leaks(out) == {}
    told = capfd.readouterr()
    assert found_in((caplog.text + told.out + told.err).encode()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("mixkd.student_train.cli", "--cache", "nowhere", "--student", "no/body"),
        ("mixkd.teacher_cache.cli", "--task", "rte", "--teacher", "nobody/nothing", "--pairs", "5"),
    ],
)
def test_failures_tell_none_even_with_tracebacks(
    environment: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    found = subprocess.run(
        [sys.executable, "-m", *words, "--out", str(tmp_path / "out"), "--debug"],
        check=False,
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=200,
    )
    assert found.returncode == 1 and b"Traceback" in found.stderr
    assert found_in(found.stdout + found.stderr) == []


def build_from(data: object, teacher: object, out: Path) -> None:
    options = BuildOptions(task="tiny", pairs=5, data=str(data), teacher=str(teacher), out=out)
    build_cache(options)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("option", ["--data", "--teacher", "--cache", "--student"])
def test_addresses_are_told_without_their_password(
    option: str, url: str, tmp_path: Path, data: Path, good_teacher: Path
) -> None:
    """No command reads an address, so that each says what it was given instead of a folder."""
    out = tmp_path / "out"
    run = {
        "--data": lambda: build_from(url, good_teacher, out),
        "--teacher": lambda: build_from(data, url, out),
        "--cache": lambda: train(TrainOptions(cache=(Path(url),), out=out)),
        "--student": lambda: train(
            TrainOptions(cache=(sealed(tmp_path / "cache"),), student=url, out=out)
        ),
    }[option]
    with pytest.raises(MixkdError) as told:
        run()
    assert found_in(str(told.value).encode()) == []
