"""Caches that the tests of students share; built once, never written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.once import made_once
from tests.student_train.caches import make_cache


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("student-caches")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, good_teacher: Path) -> Path:
    """Two classes, one text: 40 + 20 examples, 100 pairs in shards of 32."""
    return made_once(tmp_path_factory, "two", lambda root: make_cache(root, good_teacher))


@pytest.fixture(scope="session")
def pair_cache(tmp_path_factory: pytest.TempPathFactory, good_pair_teacher: Path) -> Path:
    """Three classes, two texts, the heavier mask, starts of one and two layers."""

    def make(root: Path) -> Path:
        shape: dict[str, Any] = {"classes": 3, "two_texts": True, "mask": "heavier"}
        return make_cache(root, good_pair_teacher, starts=(1, 2), **shape)

    return made_once(tmp_path_factory, "three", make)


@pytest.fixture(scope="session")
def regression_cache(
    tmp_path_factory: pytest.TempPathFactory, good_regression_teacher: Path
) -> Path:
    def make(root: Path) -> Path:
        return make_cache(root, good_regression_teacher, classes=1, two_texts=True)

    return made_once(tmp_path_factory, "number", make)


@pytest.fixture(scope="session")
def few_labels_cache(tmp_path_factory: pytest.TempPathFactory, good_teacher: Path) -> Path:
    """As `cache`, but only 8 of the 40 train examples have a label."""
    return made_once(
        tmp_path_factory, "few-labels", lambda root: make_cache(root, good_teacher, labelled=8)
    )


@pytest.fixture(scope="session")
def no_labels_cache(tmp_path_factory: pytest.TempPathFactory, good_teacher: Path) -> Path:
    """As `cache`, but no train example has a label."""
    return made_once(
        tmp_path_factory, "no-labels", lambda root: make_cache(root, good_teacher, labelled=0)
    )


@pytest.fixture(scope="session")
def cache_without_pairs(tmp_path_factory: pytest.TempPathFactory, good_teacher: Path) -> Path:
    return made_once(
        tmp_path_factory, "originals", lambda root: make_cache(root, good_teacher, pairs=0)
    )
