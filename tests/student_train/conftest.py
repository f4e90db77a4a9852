"""Caches that the tests of students share; built once, never written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.student_train.caches import make_cache


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("student-caches")


@pytest.fixture(scope="session")
def cache(folder: Path, good_teacher: Path) -> Path:
    """Two classes, one text: 40 + 20 examples, 100 pairs in shards of 32."""
    return make_cache(folder / "two", good_teacher)


@pytest.fixture(scope="session")
def pair_cache(folder: Path, good_pair_teacher: Path) -> Path:
    """Three classes, two texts, the heavier mask, starts of one and two layers."""
    return make_cache(
        folder / "three",
        good_pair_teacher,
        classes=3,
        two_texts=True,
        mask="heavier",
        starts=(1, 2),
    )


@pytest.fixture(scope="session")
def regression_cache(folder: Path, good_regression_teacher: Path) -> Path:
    return make_cache(folder / "number", good_regression_teacher, classes=1, two_texts=True)


@pytest.fixture(scope="session")
def cache_without_pairs(folder: Path, good_teacher: Path) -> Path:
    return make_cache(folder / "originals", good_teacher, pairs=0)
