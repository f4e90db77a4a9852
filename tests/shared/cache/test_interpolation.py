"""The verdict on a cache's pairs: a teacher that interpolates, one that does not, and numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixkd.shared.cache.facts import cache_facts
from mixkd.shared.cache.interpolation import mixing, verdict
from mixkd.shared.cache.reader import Cache
from tests.numpy_caches import sealed


def test_a_teacher_whose_answers_on_mixes_are_its_own(tmp_path: Path) -> None:
    """The formula's logits are linear in the weight, its probabilities are not."""
    facts = cache_facts(Cache.open(sealed(tmp_path / "cache", pairs=60)))
    found = facts.pairs_verdict
    assert found is not None and found.kind == "different" and found.distance > 0.05
    assert found.distance == pytest.approx(
        sum(each.distance * each.pairs for each in facts.mixing) / 60
    )
    plain = facts.to_json()["pairs_verdict"]
    assert plain["kind"] == "different" and plain["different"] == 0.05
    said = "\n".join(facts.lines())
    assert "pairs carry information that the originals do not have" in said
    assert "an indication, not a measured gain" in said


def test_a_teacher_that_interpolates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache.open(sealed(tmp_path / "cache", pairs=60))
    logits = np.full((30, 2), 0.5, np.float32)
    monkeypatch.setattr(Cache, "logits", lambda self, split: logits)
    real = Cache.pairs

    def constant(self: Cache, start: int = 0, stop: int | None = None) -> object:
        table = real(self, start, stop)
        return type(table)(table.left, table.right, table.lam, np.full((len(table), 2), 0.5))

    monkeypatch.setattr(Cache, "pairs", constant)
    found = mixing(cache).verdict
    assert found is not None and (found.kind, found.relabelled) == ("close", 0)
    assert found.distance == 0 and found.scale == pytest.approx(np.log(2))
    assert "pairs add little here" in found.summary


def test_no_pairs_no_verdict(tmp_path: Path) -> None:
    facts = cache_facts(Cache.open(sealed(tmp_path / "cache", pairs=0)))
    assert facts.pairs_verdict is None and facts.to_json()["pairs_verdict"] is None


@pytest.mark.parametrize(
    ("distance", "relabelled", "kind"),
    [
        (0.009, 0.0, "close"),
        (0.01, 0.0, "between"),
        (0.05, 0.1, "different"),
        (0.19, None, "close"),
        (0.5, None, "between"),
        (0.7, None, "different"),
    ],
)
def test_thresholds_in_nats_and_in_deviations(
    distance: float, relabelled: float | None, kind: str
) -> None:
    found = verdict(distance, 2.0, relabelled)
    assert found.kind == kind
    assert ("entropy" in found.lines()[1]) == (relabelled is not None)
