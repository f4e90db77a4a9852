"""`--devices`: builders that are watched, started again, and stopped; one seal in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mixkd.shared import errors, publish
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Made
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import BuilderError, MixkdError, UsageError, WeakTeacherError
from mixkd.teacher_cache import builders, processes
from mixkd.teacher_cache.build import Built
from mixkd.teacher_cache.builders import named_devices
from mixkd.teacher_cache.messages import (
    Ended,
    Failed,
    Message,
    Said,
    Scored,
    decoded,
    decoded_options,
    encoded,
    encoded_options,
)
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.results import RunFacts
from mixkd.teacher_cache.run import build_cache
from tests import tiers
from tests.caches import committed
from tests.numpy_caches import contents, sealed
from tests.teacher_cache.test_cli import finish, start

ROOT = Path(__file__).resolve().parents[2]
PAIRS = 200


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders without torch; the actual ones are in the tests at the end."""
    monkeypatch.setattr(processes, "WORKER", "tests.teacher_cache.quick")


def on_devices(root: Path, pairs: int = PAIRS, devices: str = "cpu,cpu", **changes: Any) -> Any:
    values: dict[str, Any] = {"task": "t", "out": root, "pairs": pairs, **changes}
    return build_cache(BuildOptions(**values, devices=tuple(devices.split(","))))


def misbehave(monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    monkeypatch.setenv("QUICK", json.dumps(how))


def starts(root: Path) -> list[tuple[int, int]]:
    """Rank and process of every builder that was started."""
    lines = root.with_name(f"{root.name}.starts").read_text().splitlines()
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def check_like_one(root: Path, pairs: int = PAIRS) -> None:
    """Byte for byte what one builder makes, but for older seals; and no process is left."""
    alone = sealed(root.with_name("alone"), pairs=pairs)
    made = contents(root)
    assert {name: made[name] for name in contents(alone)} == contents(alone)
    assert verify_cache(root, deep=True) == []
    for _, process in starts(root):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_two_builders_make_what_one_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "cache"
    misbehave(monkeypatch, starts=2, slow_s=0.02)
    result = on_devices(root)
    assert [rank for rank, _ in starts(root)] == [0, 1]
    assert result.run.rows == PAIRS + 42
    assert result.run.complete
    runs = [json.loads(path.read_text()) for path in (root / "runs").iterdir()]
    assert sum(run["rows"] for run in runs) == PAIRS + 42
    assert min(run["rows"] for run in runs) > 0
    check_like_one(root)
    assert on_devices(root).run is None


@pytest.mark.parametrize("do", [tiers.slow("kill"), "torn", tiers.slow("crash")])
def test_a_builder_that_died_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, do: str
) -> None:
    """Also one that is killed in the middle of a message, and the one that created the cache."""
    root = sealed(tmp_path / "cache", pairs=0)
    rank = 0 if do == "torn" else 1
    misbehave(monkeypatch, starts=3, rank=rank, do=do)
    with caplog.at_level("INFO"):
        result = on_devices(root)
    assert sorted(rank for rank, _ in starts(root)) == sorted([0, 1, rank])
    cause = r"exit code 1, RuntimeError: CUDA error" if do == "crash" else "killed by SIGKILL"
    assert f"cpu #{rank}: the builder died ({cause}" in caplog.text
    assert "and is started again, 1 of 4 starts" in caplog.text
    assert result.run.rows == PAIRS
    check_like_one(root)


@pytest.mark.slow
def test_one_that_dies_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other one goes on, and creates the cache."""
    monkeypatch.setattr(builders, "RESTARTS", 1)
    misbehave(monkeypatch, rank=0, do="kill", times=100, early=True)
    root = tmp_path / "cache"
    with caplog.at_level("INFO"):
        assert on_devices(root).run.rows == PAIRS + 42
    assert [rank for rank, _ in starts(root)] == [0, 0, 1]
    assert "cpu #0: the builder died (killed by SIGKILL) and is given up, 2 of 2" in caplog.text
    check_like_one(root)


@pytest.mark.parametrize("dry_run", [False, True], ids=["build", "dry_run"])
def test_if_all_die_the_last_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setattr(builders, "RESTARTS", 1)
    monkeypatch.setattr(processes, "WORKER", "tests.absent")
    with pytest.raises(BuilderError, match=r"all died, .* on cpu #1: exit code 1, .*tests.abse"):
        on_devices(tmp_path / "cache", dry_run=dry_run)


@pytest.mark.parametrize("rank", [tiers.slow(0), 1])
def test_a_named_failure_ends_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    """It would repeat: nothing is started again, and the class is the one of a lone builder."""
    root = sealed(tmp_path / "cache", pairs=0)
    misbehave(monkeypatch, starts=9, rank=rank, do="fail")
    with pytest.raises(WeakTeacherError, match=r"tiny on validation: expected 0\.8, found 0\.5"):
        on_devices(root)
    assert len(starts(root)) <= 2
    sealed(root, pairs=PAIRS)  # continues
    check_like_one(root)


def test_a_dry_run_starts_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "cache"
    with caplog.at_level("INFO"):
        assert on_devices(root, dry_run=True) is None
    assert "that is for one builder; 2 would share it" in caplog.text
    assert [rank for rank, _ in starts(root)] == [0]
    assert not root.exists()


@pytest.mark.slow
def test_a_time_limit_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = sealed(tmp_path / "cache", pairs=0)
    misbehave(monkeypatch, starts=2, slow_s=0.1)
    began = time.monotonic()
    result = on_devices(root, 20_000, time_limit_s=6.0)
    assert 6 <= time.monotonic() - began < 60
    assert not result.run.complete
    # Builders that take every n-th shard leave a prefix: most of what they did is sealed.
    done = sum(stop - start for start, stop in committed(root, "pairs"))
    assert Cache.open(root).seal.rows.pairs >= done / 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), tiers.slow(signal.SIGINT, 130)]
)
def test_a_signal_reaches_all_builders(tmp_path: Path, number: int, code: int) -> None:
    root = sealed(tmp_path / "cache", pairs=0)
    words = ["build", "--task", "t", "--out", str(root), "--pairs", "100000"]
    command = subprocess.Popen(
        [sys.executable, "-m", "tests.teacher_cache.quick", *words, "--devices", "cpu,cpu"],
        cwd=ROOT,
        env={**os.environ, "QUICK": '{"slow_s": 0.02}'},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 100
    while len(committed(root, "pairs")) < 10 and time.monotonic() < until:
        time.sleep(0.05)
    command.send_signal(number)
    _, told = command.communicate(timeout=100)
    assert command.returncode == code, told
    assert "what was committed stays: the same command continues" in told
    assert "Traceback" not in told
    for _, process in starts(root):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    assert not [path for path in root.rglob("*") if publish.is_temporary(path.name)]
    assert len(committed(root, "pairs")) >= 10


@pytest.mark.parametrize(
    ("devices", "match"),
    [
        ("all", "--devices: expected all, .*found a machine with 0 CUDA devices"),
        ("0,1", "--devices: expected all, .*found cuda:0, on a machine with 0 CUDA devices"),
        ("cpu,3", "--devices: .*found cuda:3, on a machine with 0 CUDA devices"),
        ("", "--devices: expected all, different numbers"),
        ("all,0", "--devices: expected all, different numbers"),
        ("0,0", "--devices: expected all, different numbers.*name each device once"),
        ("tpu", "--devices: expected all, different numbers"),
    ],
)
def test_devices_that_do_not_exist(tmp_path: Path, devices: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        on_devices(tmp_path / "cache", devices=devices)
    assert list(tmp_path.iterdir()) == []


def test_devices_are_counted_and_left_to_the_builders(monkeypatch: pytest.MonkeyPatch) -> None:
    def touch(*args: object, **more: object) -> None:
        raise AssertionError("a device was used by the command that starts the builders")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda._lazy_init", touch)
    monkeypatch.setattr("torch.ones", touch)
    assert named_devices(("all",)) == ("cuda:0", "cuda:1")
    assert named_devices(("1", "0")) == ("cuda:1", "cuda:0")
    with pytest.raises(UsageError, match="found cuda:2, on a machine with 2 CUDA devices"):
        named_devices(("0", "2"))


def test_builders_that_took_no_time_have_no_rate() -> None:
    made = Made(torch="2", transformers="5", device="cpu", dtype="float32")
    at_once = RunFacts.of(Built(rows=0, rows_lost=0, seconds=1e-4, complete=False), made)
    assert RunFacts.together([at_once, at_once], 0).rows_per_second == 0.0


def test_what_other_processes_cannot_be_given(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--device: expected none beside --devices, found cpu"):
        on_devices(tmp_path / "cache", device="cpu")
    options = BuildOptions(task="t", pairs=1, devices=("cpu",))
    with pytest.raises(UsageError, match="--devices: expected none, found several devices, for a"):
        build_cache(options, model=object())  # type: ignore[arg-type]
    import datasets

    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    with pytest.raises(UsageError, match="--devices: expected data in a file.* found data in mem"):
        on_devices(tmp_path / "cache", data=rows)


def test_messages_come_back_and_torn_ones_are_passed_over() -> None:
    error = WeakTeacherError("here\n", expected="a", found="\x1b[1m", do="c")
    messages: list[Message] = [Scored(3), Said(20, "é"), Failed.of(error), Ended(None)]
    lines = [b"a library\n", *map(encoded, messages), encoded(Scored(4))[:9], b"\xff\n"]
    assert list(decoded(lines)) == messages
    again = Failed.of(error).error()
    assert (type(again), str(again)) == (WeakTeacherError, str(error))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in (kind for kind in kinds if issubclass(kind, MixkdError)):
        one = kind("a", expected="b", found="c", do="d")
        assert type(Failed.of(one).error()) is kind


def test_options_come_back(tmp_path: Path) -> None:
    options = BuildOptions(
        task="rte", pairs=3, out=tmp_path, teacher_labels=(1, 0), student_layers=(), subset=0.5
    )
    starts = replace(options, student_layers=(3, (0, 2, 5)), unlabelled=("rest", "more.csv"))
    assert decoded_options(encoded_options(starts)) == replace(starts, out=str(tmp_path))
    again = decoded_options(encoded_options(options))
    assert again.out == str(tmp_path)
    assert again.teacher_labels == (1, 0)
    assert again.student_layers == ()
    assert again.root == options.root


@pytest.mark.timeout(600)
@pytest.mark.parametrize("killed", [False, tiers.slow(True)])
def test_the_actual_command_with_an_actual_teacher(
    tmp_path: Path, good_teacher: Path, data: Path, killed: bool
) -> None:
    words = ["--task", "tiny", "--data", str(data), "--teacher", str(good_teacher)]
    words += ["--pairs", "20000" if killed else "600", "--shard-rows", "64", "--dtype", "float32"]
    process = start(*words, "--devices", "cpu,cpu", "--json", "--out", "two", folder=tmp_path)
    if killed:
        until = time.monotonic() + 200
        while len(_children(process.pid)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(1)
        os.kill(_children(process.pid)[0], signal.SIGKILL)
    code, out, told = finish(process)
    assert code == 0, told
    assert json.loads(out)["run"]["complete"], told
    assert ("killed by SIGKILL) and is started again" in told) == killed
    alone = one_builder(tmp_path / "one", good_teacher, data, json.loads(out)["pairs"])
    assert (tmp_path / "two/MANIFEST.json").read_bytes() == alone


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_numbered_commands_of_a_node(tmp_path: Path, good_teacher: Path, data: Path) -> None:
    """As `torchrun` starts them, at one moment; one is killed and started again."""
    words = ["--task", "tiny", "--data", str(data), "--teacher", str(good_teacher), "--out", "two"]
    words += ["--pairs", "20000", "--shard-rows", "64", "--dtype", "float32", "--device", "cpu"]

    def command(rank: int) -> subprocess.Popen[str]:
        return start(*words, folder=tmp_path, LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE="2")

    first, second = command(0), command(1)
    until = time.monotonic() + 200
    while len(list((tmp_path / "two/commits").glob("pairs-*"))) < 20 and time.monotonic() < until:
        time.sleep(0.02)
    second.kill()
    assert finish(second)[0] == -signal.SIGKILL
    second = command(1)
    for process in (first, second):
        code, _, told = finish(process)
        assert code == 0, told
    alone = one_builder(tmp_path / "one", good_teacher, data, 20_000)
    assert (tmp_path / "two/MANIFEST.json").read_bytes() == alone
    assert [f for f in verify_cache(tmp_path / "two", deep=True) if not f.harmless] == []


def one_builder(root: Path, teacher: Path, data: Path, pairs: int) -> bytes:
    """The seal of a lone builder's cache."""
    values: dict[str, Any] = {"task": "tiny", "data": str(data), "teacher": str(teacher)}
    values |= {"shard_rows": 64, "dtype": "float32", "device": "cpu", "out": root}
    build_cache(BuildOptions(**values, pairs=pairs))
    return (root / "MANIFEST.json").read_bytes()


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in found]
