"""A new term and a new distance are a function and a row each: options, help, run, pages follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from torch import Tensor

from mixkd.shared.errors import UsageError
from mixkd.student_train.cli import make_command
from mixkd.student_train.objective.distances import DISTANCES, Distance, register_distance
from mixkd.student_train.objective.tables import distances_table, objective_table, terms_table
from mixkd.student_train.objective.terms import TERMS, Objective, Rows, Term, register_term
from mixkd.student_train.options import TrainOptions
from mixkd.student_train.results import read_metrics
from mixkd.student_train.train import train

CHOOSING = Path(__file__).parents[2] / "docs" / "choosing.md"


def confidence(rows: Rows, objective: Objective) -> Tensor:
    """The entropy of the student."""
    log_probabilities = rows.student.log_softmax(dim=1)  # [B, C]
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1)  # [B]


def absolute(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return (student - teacher).abs().mean(dim=1)  # [B]


@pytest.fixture
def registered() -> Iterator[None]:
    register_term(Term("entropy", "mixes", confidence, "entropy of the student on mixes"))
    register_distance(Distance("l1", absolute, "absolute difference", fits_regression=True))
    yield
    del TERMS["entropy"], DISTANCES["l1"]


@pytest.mark.usefixtures("registered")
def test_a_registered_term_and_distance_train_a_student(cache: Path, tmp_path: Path) -> None:
    losses: list[set[str]] = []
    options = TrainOptions(
        cache=(cache,),
        weights={"entropy": 0.5},
        distance="l1",
        epochs=1,
        device="cpu",
        out=tmp_path / "student",
    )
    result = train(options, lambda step, means: losses.append(set(means)))
    assert losses == [{"loss", "mle", "sm", "tmkd", "entropy"}]
    assert result is not None and result == read_metrics(tmp_path / "student")
    assert result.settings.weights == {"mle": 1, "sm": 1, "tmkd": 1, "kd": 0, "entropy": 0.5}
    assert result.to_json()["settings"]["alpha_entropy"] == 0.5


@pytest.mark.usefixtures("registered")
def test_a_registered_distance_that_fits_trains_on_numbers(
    regression_cache: Path, tmp_path: Path
) -> None:
    options = TrainOptions((regression_cache,), distance="l1", epochs=1, out=tmp_path / "student")
    assert train(options) is not None


@pytest.mark.usefixtures("registered")
def test_the_help_and_the_tables_name_what_is_registered(tmp_path: Path) -> None:
    command = make_command()
    shown = CliRunner().invoke(command, ["train", "--help"], terminal_width=200).output
    assert "--alpha-entropy FLOAT" in shown
    assert "Weight of entropy of the student on mixes" in shown
    assert "[mse|kl|ce|l1]" in shown and "l1 (absolute difference)" in shown
    arguments = ["--cache", str(tmp_path), "--alpha-entropy", "-1"]
    assert "--alpha-entropy" in str(CliRunner().invoke(command, arguments).exception)
    assert "| `mixkd` | 1 | 1 | 1 | 0 | 0 |" in objective_table()
    assert "| `--alpha-entropy` | mixes | neither | entropy" in terms_table()
    assert "| `l1` | absolute difference | no | yes |" in distances_table()


@pytest.mark.parametrize("name", ["kd", "Has-Dash", "", "a b"])
def test_names_that_cannot_be_registered(name: str) -> None:
    with pytest.raises(UsageError, match="expected a new name of lower-case letters and digits"):
        register_term(Term(name, "mixes", confidence, "nothing"))
    with pytest.raises(UsageError, match="expected a new name"):
        register_distance(Distance(name.replace("kd", "kl"), absolute, "nothing"))


def test_a_page_holds_the_table() -> None:
    renew = "renew it with: python -m mixkd.student_train.objective.tables"
    assert objective_table() in CHOOSING.read_text(encoding="utf-8"), renew
