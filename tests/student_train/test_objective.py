"""Each term against a plain, slow version of itself."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mixkd.shared.errors import UsageError
from mixkd.shared.metrics import MULTI_LABEL, REGRESSION
from mixkd.student_train.objective.distances import distance_of
from mixkd.student_train.objective.terms import (
    PRESETS,
    TERMS,
    Objective,
    Part,
    Rows,
    imitation,
    supervised,
)

ROWS, CLASSES = 5, 3


def some_rows(classes: int = CLASSES, seed: int = 0) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn(ROWS, classes, generator=generator) * 2  # [B, C]
    teacher = torch.randn(ROWS, classes, generator=generator) * 2  # [B, C]
    targets = torch.rand(ROWS, classes, generator=generator)
    if classes > 1:
        targets = targets / targets.sum(dim=1, keepdim=True)
    return Rows(student, teacher, targets)


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    exponentials = [math.exp(logit / temperature) for logit in logits]
    return [value / sum(exponentials) for value in exponentials]


def test_cross_entropy_of_mixed_labels() -> None:
    rows = some_rows()
    expected = 0.0
    for logits, target in zip(rows.student.tolist(), rows.targets.tolist(), strict=True):
        expected -= sum(t * math.log(p) for t, p in zip(target, softmax(logits), strict=True))
    assert supervised(rows, Objective(PRESETS["ft"])).sum().item() == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("distance", ["mse", "kl", "ce"])
def test_distance_to_the_teacher(distance: str, temperature: float) -> None:
    rows = some_rows()
    expected = 0.0
    for student, teacher in zip(rows.student.tolist(), rows.teacher.tolist(), strict=True):
        p, q = softmax(teacher, temperature), softmax(student, temperature)
        if distance == "mse":
            expected += sum((a - b) ** 2 for a, b in zip(student, teacher, strict=True)) / CLASSES
        elif distance == "kl":
            terms = (a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
            expected += temperature**2 * sum(terms)
        else:
            expected -= temperature**2 * sum(a * math.log(b) for a, b in zip(p, q, strict=True))
    objective = Objective(PRESETS["kd"], distance=distance, temperature=temperature)
    assert imitation(rows, objective).sum().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("distance", ["mse", "kl", "ce"])
def test_gradient_of_the_distance(distance: str, temperature: float) -> None:
    """2 (s - t) / C for squared differences; T (softmax(s / T) - softmax(t / T)) for the others."""
    rows = some_rows()
    rows.student.requires_grad_()
    objective = Objective(PRESETS["kd"], distance=distance, temperature=temperature)
    imitation(rows, objective).sum().backward()
    found = rows.student.grad
    assert found is not None
    for row, student, teacher in zip(
        found.tolist(), rows.student.tolist(), rows.teacher.tolist(), strict=True
    ):
        if distance == "mse":
            expected = [2 * (s - t) / CLASSES for s, t in zip(student, teacher, strict=True)]
        else:
            p, q = softmax(teacher, temperature), softmax(student, temperature)
            expected = [temperature * (b - a) for a, b in zip(p, q, strict=True)]
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_gradient_of_cross_entropy() -> None:
    rows = some_rows()
    rows.student.requires_grad_()
    supervised(rows, Objective(PRESETS["ft"])).sum().backward()
    assert rows.student.grad is not None
    for row, student, target in zip(
        rows.student.grad.tolist(), rows.student.tolist(), rows.targets.tolist(), strict=True
    ):
        expected = [q - t for q, t in zip(softmax(student), target, strict=True)]
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_regression_is_squared_error_for_labels_and_teacher() -> None:
    rows = some_rows(classes=1)
    objective = Objective(PRESETS["kd"], REGRESSION)
    for total, other in ((supervised, rows.targets), (imitation, rows.teacher)):
        pairs = zip(rows.student.flatten().tolist(), other.flatten().tolist(), strict=True)
        expected = sum((a - b) ** 2 for a, b in pairs)
        assert total(rows, objective).sum().item() == pytest.approx(expected, rel=1e-5)


def sigmoid(logits: list[float], temperature: float = 1.0) -> list[float]:
    return [1 / (1 + math.exp(-logit / temperature)) for logit in logits]


def some_label_sets(seed: int = 0) -> Rows:
    """Targets as mixes of 0 and 1 have them: anything in [0, 1], whatever they sum to."""
    rows = some_rows(seed=seed)
    lam = torch.rand(ROWS, 1, generator=torch.Generator().manual_seed(seed + 9))  # [B, 1]
    left, right = (rows.targets > 0.3).float(), (rows.teacher > 0).float()  # [B, C]
    return replace(rows, targets=lam * left + (1 - lam) * right)


def test_multi_label_targets_are_approached_by_binary_cross_entropy() -> None:
    """Mixed targets too: value, and gradient (sigmoid(s) - target) / C."""
    rows = some_label_sets()
    assert ((rows.targets > 0) & (rows.targets < 1)).any(), "some are mixed"
    rows.student.requires_grad_()
    losses = supervised(rows, Objective(PRESETS["sm"], MULTI_LABEL))  # [B]
    losses.sum().backward()
    assert rows.student.grad is not None
    for loss, gradient, student, target in zip(
        losses.tolist(),
        rows.student.grad.tolist(),
        rows.student.tolist(),
        rows.targets.tolist(),
        strict=True,
    ):
        each = list(zip(target, sigmoid(student), strict=True))
        plain = -sum(t * math.log(q) + (1 - t) * math.log(1 - q) for t, q in each) / CLASSES
        assert loss == pytest.approx(plain, rel=1e-5)
        assert gradient == pytest.approx([(q - t) / CLASSES for t, q in each], rel=1e-4, abs=1e-6)
    one_hot = Objective(PRESETS["sm"])
    assert not torch.allclose(losses, supervised(rows, one_hot)), "no softmax over the labels"


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("distance", ["mse", "kl", "ce"])
def test_distances_of_multi_label_are_means_over_labels(distance: str, temperature: float) -> None:
    """Of each label's two outcomes; gradient T (sigmoid(s / T) - sigmoid(t / T)) / C."""
    rows = some_label_sets()
    rows.student.requires_grad_()
    objective = Objective(PRESETS["kd"], MULTI_LABEL, distance, temperature)
    found = imitation(rows, objective)  # [B]
    found.sum().backward()
    assert rows.student.grad is not None
    for value, gradient, student, teacher in zip(
        found.tolist(),
        rows.student.grad.tolist(),
        rows.student.tolist(),
        rows.teacher.tolist(),
        strict=True,
    ):
        p, q = sigmoid(teacher, temperature), sigmoid(student, temperature)
        outcomes = [(a, b) for x, y in zip(p, q, strict=True) for a, b in ((x, y), (1 - x, 1 - y))]
        if distance == "mse":
            differences = [s - t for s, t in zip(student, teacher, strict=True)]
            expected = sum(d**2 for d in differences) / CLASSES
            slope = [2 * d / CLASSES for d in differences]
        else:
            of_itself = sum(a * math.log(a) for a, _ in outcomes) if distance == "kl" else 0
            expected = of_itself - sum(a * math.log(b) for a, b in outcomes)
            expected *= temperature**2 / CLASSES
            slope = [temperature * (b - a) / CLASSES for a, b in zip(p, q, strict=True)]
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert gradient == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_distance_without_a_meaning_for_the_labels_is_refused() -> None:
    with pytest.raises(UsageError, match="expected mse, since this cache's labels are numbers"):
        distance_of("kl", REGRESSION)


def test_presets() -> None:
    found = {
        method: tuple(weights.get(name, 0) for name in ("mle", "sm", "tmkd", "kd"))
        for method, weights in PRESETS.items()
    }
    assert found == {
        "ft": (1, 0, 0, 0),
        "kd": (1, 0, 0, 1),
        "sm": (1, 1, 0, 0),
        "tmkd": (1, 0, 1, 0),
        "mixkd": (1, 1, 1, 0),
    }
    needs = [name for name, weights in PRESETS.items() if Objective(weights).needs_mixes]
    assert needs == ["sm", "tmkd", "mixkd"]


def test_terms_take_their_part_and_the_global_count() -> None:
    originals, mixes = some_rows(seed=1), some_rows(seed=2)
    objective = Objective({"mle": 1, "sm": 2, "tmkd": 3, "kd": 4})
    terms = objective({"originals": originals, "mixes": mixes}, {"originals": 10, "mixes": 20})
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            "mle": supervised(originals, objective).sum().item() / 10,
            "sm": supervised(mixes, objective).sum().item() / 20,
            "tmkd": imitation(mixes, objective).sum().item() / 20,
            "kd": imitation(originals, objective).sum().item() / 10,
        }
    )
    expected = terms["mle"] + 2 * terms["sm"] + 3 * terms["tmkd"] + 4 * terms["kd"]
    assert torch.equal(objective.weighted(terms), expected)


def test_a_part_without_rows_gives_zero_and_a_gradient() -> None:
    logits = torch.randn(1, CLASSES, requires_grad=True)
    none = Rows(logits[:0], torch.empty(0, CLASSES), torch.empty(0, CLASSES))
    objective = Objective(PRESETS["mixkd"])
    terms = objective({"originals": none, "mixes": none}, {"originals": 1, "mixes": 0})
    loss = objective.weighted(terms)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and not logits.grad.any()


def plain_loss(rows: Rows, labelled: list[bool], term: str) -> torch.Tensor:
    """A term over one part, row by row: the mean over the rows that take part in it."""
    values = []
    for row, has_label in enumerate(labelled):
        logits = rows.student[row]  # [C]
        if term in ("tmkd", "kd"):
            values.append((logits - rows.teacher[row]).square().mean())
        elif has_label:
            log_probabilities = logits - logits.exp().sum().log()
            values.append(-(rows.targets[row] * log_probabilities).sum())
    return torch.stack(values).mean() if values else logits.sum() * 0


@pytest.mark.parametrize("some", [[True, False, False, True, False], [False] * ROWS])
def test_terms_that_need_labels_see_labelled_rows_alone(some: list[bool]) -> None:
    """Values and gradients; what stands in the targets of other rows does not matter."""
    at = torch.tensor([row for row, has_label in enumerate(some) if has_label], dtype=torch.int64)
    weights = {"mle": 1.0, "sm": 2.0, "tmkd": 3.0, "kd": 4.0}
    objective = Objective(weights)
    parts: dict[Part, Rows] = {"originals": some_rows(seed=1), "mixes": some_rows(seed=2)}
    for rows in parts.values():
        rows.targets[[row for row in range(ROWS) if not some[row]]] = math.nan
        rows.student.requires_grad_()
    given = {part: replace(rows, labelled=at) for part, rows in parts.items()}
    counts: dict[Part, int] = {"originals": ROWS, "mixes": ROWS}
    terms = objective(given, counts, dict.fromkeys(counts, len(at)))
    objective.weighted(terms).backward()
    found = {part: rows.student.grad.clone() for part, rows in parts.items()}
    for rows in parts.values():
        rows.student.grad = None
    plain = {name: plain_loss(parts[TERMS[name].part], some, name) for name in weights}
    sum(weights[name] * loss for name, loss in plain.items()).backward()
    for name, loss in plain.items():
        assert terms[name].item() == pytest.approx(loss.item(), rel=1e-5), name
    for part, rows in parts.items():
        assert torch.allclose(found[part], rows.student.grad, atol=1e-6), part


def test_an_objective_without_labels_keeps_the_teachers_terms() -> None:
    kept = {method: Objective(weights).without_labels() for method, weights in PRESETS.items()}
    assert {method: dict(objective.weights) for method, objective in kept.items()} == {
        "ft": {},
        "kd": {"kd": 1},
        "sm": {},
        "tmkd": {"tmkd": 1},
        "mixkd": {"tmkd": 1},
    }
