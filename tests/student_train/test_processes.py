"""Several processes together compute what one computes alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from mixkd.shared.cache.reader import Cache
from mixkd.shared.metrics import CLASSIFICATION
from mixkd.shared.options import option
from mixkd.student_train.batches import Source, batches
from mixkd.student_train.joined import JoinedPairs
from mixkd.student_train.objective.terms import PRESETS, Objective
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.order import Order
from mixkd.student_train.student import load
from mixkd.student_train.train import forward, train
from tests.commands import run_module
from tests.student_train.stopped import SETTINGS, train_until


@pytest.mark.parametrize(("name", "world"), [("cache", 2), ("cache", 3), ("few_labels_cache", 3)])
def test_the_losses_and_gradients_of_all_processes_add_up(
    name: str, world: int, request: pytest.FixtureRequest
) -> None:
    opened = Cache.open(request.getfixturevalue(name))
    start = load(opened, None, None, seed=0)
    student = start.student.eval()
    objective = Objective(PRESETS["mixkd"])
    source = Source(
        start.examples["train"], opened.logits("train"), JoinedPairs([opened]), CLASSIFICATION, 0
    )
    order = Order(40, source.pairs.shards, batch_size=7, mix_ratio=0.5, seed=1)

    def gradients(rank: int, of: int) -> list[tuple[float, torch.Tensor]]:
        found = []
        for batch in batches(source, order, 0, 0, rank, of):
            student.zero_grad()
            loss = objective.weighted(
                objective(
                    forward(student, batch, torch.device("cpu")),
                    batch.counts,
                    batch.labelled_counts,
                )
            )
            loss.backward()
            weight = student.model.bert.embeddings.word_embeddings.weight
            found.append((loss.item(), weight.grad.clone()))
        return found

    alone = gradients(0, 1)
    parts = [gradients(rank, world) for rank in range(world)]
    for step, (loss, gradient) in enumerate(alone):
        assert sum(part[step][0] for part in parts) == pytest.approx(loss, rel=1e-5)
        together = sum(part[step][1] for part in parts)
        assert torch.allclose(together, gradient, atol=1e-6)


def without_dropout(cache: Path, folder: Path) -> Path:
    """The cache's start with dropout switched off: noise is each process's own."""
    folder.mkdir()
    for file in (cache / "student_init" / "layers-0").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def launch(world: int, module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a module in `world` processes that know each other."""
    # `accelerate launch --cpu` starts one process without MPI; torchrun starts all.
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(world)]
    return run_module(module, *arguments, launcher=launcher, timeout_s=280)


def assert_same_weights(left: Path, right: Path) -> None:
    """Equal up to the order of sums."""
    from safetensors.torch import load_file

    found, expected = (load_file(folder / "model.safetensors") for folder in (left, right))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        # A softmax does not see the keys' biases: Adam scales up gradients that are rounding.
        if not name.endswith("key.bias"):
            assert torch.allclose(found[name], tensor, atol=1e-5), name


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["cache", "few_labels_cache"])
def test_two_real_processes(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Their weights are those of one process, up to the order of sums."""
    cache: Path = request.getfixturevalue(name)
    start = without_dropout(cache, tmp_path / "start")
    for world in (1, 2):
        out = tmp_path / f"student-{world}"
        arguments = ["--cache", cache, "--student", start, "--out", out, "--epochs", "2"]
        arguments += ["--batch-size", "7", "--learning-rate", "1e-3", "--device", "cpu", "--json"]
        found = launch(world, "mixkd.student_train.cli", *arguments)
        assert json.loads(found.stdout)["settings"]["processes"] == world
        assert found.stderr.count("(sealed)") == 1
    assert_same_weights(tmp_path / "student-2", tmp_path / "student-1")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_goes_on_in_another_number_of_real_processes(cache: Path, tmp_path: Path) -> None:
    """Stopped within an epoch: two processes go on alone, one goes on as two."""
    start = without_dropout(cache, tmp_path / "start")

    def options(out: str, resume: bool = False) -> TrainOptions:
        where = {"cache": (cache,), "student": str(start), "out": tmp_path / out}
        return TrainOptions(**where, resume=resume, **SETTINGS)

    train(options("whole"))

    launch(2, "tests.student_train.stopped", 10, cache, start, tmp_path / "two-one")
    metrics = train(options("two-one", resume=True))
    assert metrics is not None and metrics.settings.processes == 1
    assert_same_weights(tmp_path / "two-one", tmp_path / "whole")

    train_until(10, options("one-two"))
    arguments = ["--cache", cache, "--student", start, "--out", tmp_path / "one-two", "--resume"]
    for name in ("epochs", "batch_size", "learning_rate", "device"):
        arguments += [option(name), SETTINGS[name]]
    found = launch(2, "mixkd.student_train.cli", *arguments)
    assert found.stderr.count("continues with a different number of processes (2, before 1)") == 1
    assert_same_weights(tmp_path / "one-two", tmp_path / "whole")
