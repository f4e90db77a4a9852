"""The two commands as a connected machine runs them: real clients, a Hub of two repositories."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixkd.teacher_cache.data.tasks import TASKS
from tests.hub.repositories import TRAIN_ROWS, write
from tests.hub.standin import Hub, serve

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"cache-teacher": "mixkd.teacher_cache.cli", "train-student": "mixkd.student_train.cli"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with serve(write(tmp_path_factory.mktemp("hub"))) as running:
        yield running


def run(command: str | list[str], folder: Path, hub: Hub) -> subprocess.CompletedProcess[str]:
    """Run a command line in `folder`; its environment holds little but the Hub's address."""
    words = shlex.split(command) if isinstance(command, str) else command
    if words[0] in MODULES:
        words = [sys.executable, "-m", MODULES[words[0]], *words[1:]]
    environment = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "huggingface"),
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        words, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_clients_load_from_the_stand_in(hub: Hub, tmp_path: Path) -> None:
    """Shows what the next test rests on, without either tool."""
    code = f"""
import datasets, huggingface_hub, transformers
rte = datasets.load_dataset("nyu-mll/glue", "rte")
print({{name: len(split) for name, split in rte.items()}}, rte["train"].features["label"].names)
folder = huggingface_hub.snapshot_download({TASKS["rte"].teacher!r})
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
print(type(model).__name__, model.config.id2label)
"""
    found = run([sys.executable, "-c", code], tmp_path, hub)
    assert found.returncode == 0, found.stderr
    assert "'train': 48, 'validation': 24" in found.stdout.replace("'test': 24, ", "")
    assert "['entailment', 'not_entailment']" in found.stdout
    assert "BertForSequenceClassification {0: 'LABEL_0', 1: 'LABEL_1'}" in found.stdout
    assert not hub.unknown


@pytest.mark.slow
def test_a_data_set_is_named_with_configuration_and_revision(hub: Hub, tmp_path: Path) -> None:
    code = """
from mixkd.teacher_cache.data.load import DataSpec, load
data = load(DataSpec("rte", "nyu-mll/glue:rte@main", validation_split=("validation", "train"),
                     train_split="test", label_names=("a", "b"), label_column="idx"))
"""
    found = run([sys.executable, "-c", code], tmp_path, hub)
    assert "nyu-mll/glue (rte) @ main, test, row 3, column idx: expected the number" in found.stderr
    found = run([sys.executable, "-c", code.replace("@main", "@none")], tmp_path, hub)
    assert "nyu-mll/glue (rte) @ none: expected a data set on the Hub" in found.stderr
    assert not hub.unknown


@pytest.mark.timeout(600)
def test_the_two_commands_of_the_readme(hub: Hub, tmp_path: Path) -> None:
    asked_before = len(hub.requests)
    cached = run("cache-teacher --task rte --pairs 50000", tmp_path, hub)
    assert cached.returncode == 0, cached.stderr
    manifest = json.loads((tmp_path / "shards" / "rte" / "MANIFEST.json").read_bytes())
    assert manifest["rows"] == {"originals": TRAIN_ROWS + TRAIN_ROWS // 2, "pairs": 50_000}
    about = json.loads((tmp_path / "shards" / "rte" / "cache.json").read_bytes())["about"]
    assert about["teacher"] == TASKS["rte"].teacher
    assert about["data"] == "nyu-mll/glue"
    assert len(about["data_revision"]) == len(about["teacher_revision"]) == 40
    assert not hub.unknown

    asked = len(hub.requests)
    assert asked > asked_before
    trained = run("train-student --cache shards/rte", tmp_path, hub)
    assert trained.returncode == 0, trained.stderr
    student = tmp_path / "students" / "rte"
    assert {"config.json", "metrics.json", "model.safetensors", "README.md"} <= {
        file.name for file in student.iterdir()
    }
    assert len(hub.requests) == asked, "a student needs no network"

    code = """
import datasets
from huggingface_hub import DatasetCard, ModelCard
cache, student = DatasetCard.load("shards/rte/README.md"), ModelCard.load("students/rte/README.md")
cache.validate()
student.validate()
assert cache.data.source_datasets == student.data.datasets == ["nyu-mll/glue"]
print(student.data.base_model)
rows = datasets.load_dataset("shards/rte")
print(*rows, rows["train"].features["label"].names)
"""
    validated = run([sys.executable, "-c", code], tmp_path, hub)
    assert validated.returncode == 0, validated.stderr
    assert validated.stdout.splitlines() == [
        TASKS["rte"].teacher,
        "train validation ['entailment', 'not_entailment']",
    ]
    assert [asked for asked in hub.requests if "validate-yaml" in asked] == [
        "POST /api/validate-yaml",
        "POST /api/validate-yaml",
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cache_is_extended_by_the_teacher_of_the_hub_that_it_names(
    hub: Hub, tmp_path: Path
) -> None:
    """Whoever has the cache need not say again what it was made with; its task has no default."""
    teacher = TASKS["rte"].teacher
    run(f"cache-teacher --task rte --teacher {teacher} --pairs 8 --out cache", tmp_path, hub)
    extended = run("cache-teacher --task mine --pairs 16 --out cache", tmp_path, hub)
    assert extended.returncode == 0, extended.stderr
    assert f"teacher: {teacher}, as the cache names it" in extended.stderr
    assert "pairs        16" in extended.stdout


def test_a_teacher_that_the_hub_has_not(hub: Hub, tmp_path: Path) -> None:
    found = run("cache-teacher --task rte --teacher nobody/nothing --pairs 1", tmp_path, hub)
    assert found.returncode == 1
    assert "error: nobody/nothing: expected" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "shards").exists()


def test_a_data_set_that_the_hub_has_not(hub: Hub, tmp_path: Path) -> None:
    command = f"cache-teacher --task own --data nobody/rows --teacher {TASKS['rte'].teacher}"
    found = run(f"{command} --pairs 1", tmp_path, hub)
    assert found.returncode == 1
    assert "error: nobody/rows: expected" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "shards").exists()


@pytest.mark.slow
def test_a_teacher_and_rows_of_the_hub_are_evaluated(hub: Hub, tmp_path: Path) -> None:
    command = f"train-student evaluate {TASKS['rte'].teacher} --data nyu-mll/glue:rte --json"
    found = run(f"{command} --split validation", tmp_path, hub)
    assert found.returncode == 0, found.stderr
    numbers = json.loads(found.stdout)
    assert numbers["examples"] == TRAIN_ROWS // 2
    assert numbers["metrics"]["accuracy"] > 0.8
    missing = run(command.replace("glue:rte", "gluten"), tmp_path, hub)
    assert missing.returncode == 1
    assert "error: nyu-mll/gluten: expected a data set on the Hub, or a file" in missing.stderr
