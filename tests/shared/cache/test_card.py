"""The card of a cache and the rows that it names: what the Hub and `datasets` make of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from huggingface_hub import DatasetCard

from mixkd.shared.cache import loadable
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.verify import verify_cache
from tests import caches
from tests.hub.cards import check_card
from tests.numpy_caches import FORMATS, examples, sealed

HUB = {
    "task": "mood",
    "data": "owner/moods",
    "data_config": "plain",
    "data_revision": "0" * 40,
    "data_license": "cc-by-4.0",
    "data_language": "en",
    "teacher": "owner/teacher",
    "teacher_revision": "1" * 40,
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def card_of(root: Path) -> DatasetCard:
    text = (root / "README.md").read_text(encoding="utf-8")
    check_card(text, "dataset")
    return DatasetCard(text)


def loaded(root: Path, tmp_path: Path, *name: str) -> Any:
    return datasets.load_dataset(str(root), *name, cache_dir=str(tmp_path / "datasets"))


@pytest.mark.parametrize("shard_format", FORMATS)
def test_a_folder_is_loaded_without_a_name(tmp_path: Path, shard_format: str) -> None:
    root = sealed(tmp_path / "cache", 20, shard_format, label_names=("no", "yes"))
    cache, found = Cache.open(root), loaded(root, tmp_path)
    assert list(found) == ["train", "validation"]
    for split, rows in found.items():
        own = cache.to_dataset(split).select_columns(["text_a", "label", "teacher_logits"])
        assert rows.features == own.features
        assert rows.features["label"] == datasets.ClassLabel(names=["no", "yes"])
        assert rows[:] == own[:]


@pytest.mark.parametrize("name", ["pairs", "originals", "examples"])
def test_its_other_configurations_are_loaded_by_name(tmp_path: Path, name: str) -> None:
    root = sealed(tmp_path / "cache", 20)
    found = loaded(root, tmp_path, name)["train"]
    assert len(found) == {"pairs": 20, "originals": 42, "examples": 30}[name]


def test_the_pairs_of_hdf5_are_loaded_as_the_card_says(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20, "hdf5")
    (line,) = [row for row in card_of(root).text.splitlines() if row.startswith("pairs = ")]
    assert line.startswith('pairs = load_dataset("hdf5", data_files="PATH/data/pairs-*.h5")')
    where = str(root / "data" / "pairs-*.h5")
    found = datasets.load_dataset("hdf5", data_files=where, cache_dir=str(tmp_path / "datasets"))
    assert len(found["train"]) == 20


def test_numbers_are_numbers_and_a_pair_of_texts_is_a_pair(tmp_path: Path) -> None:
    splits = {name: examples(6, n, classes=1, texts=2) for n, name in enumerate(("train", "dev"))}
    made = caches.job(tmp_path / "cache", splits, classes=1, pairs=4, about={"task": "score"})
    root = caches.build_sealed(made, lambda batch: np.ones((len(batch.lam), 1), np.float32))
    rows = loaded(root, tmp_path)["train"]
    assert rows.column_names == ["text_a", "text_b", "label", "teacher_logits"]
    assert rows.features["label"] == datasets.Value("float32")
    assert card_of(root).data.task_ids == ["text-scoring"]


def test_rows_have_what_was_kept_and_the_card_says_what_no_label_is(tmp_path: Path) -> None:
    kept = pa.record_batch(
        {
            "key": ["a", None, "c", "d", "e", "f"],
            "n": pa.array(range(6), pa.int64()),
            "size": [0.5, None, 1.0, 2.0, 3.0, 4.0],
            "is|it": [True] * 6,
        }
    )
    splits = {n: replace(examples(6, at), kept=kept) for at, n in enumerate(("train", "dev"))}
    labels = np.array([0, 1, 0, 1, -1, -1])
    splits["train"] = replace(splits["train"], labels=labels)
    made = caches.job(tmp_path / "cache", splits, pairs=4)
    root = caches.build_sealed(made, lambda batch: np.ones((len(batch.lam), 2), np.float32))
    own, rows = Cache.open(root).to_dataset(), loaded(root, tmp_path)["train"]
    names = ["text_a", "label", *kept.schema.names, "teacher_logits"]
    assert rows.column_names == names
    assert rows[:] == own.select_columns(names)[:]
    assert rows.features == own.select_columns(names).features
    assert not verify_cache(root)
    text = card_of(root).text
    assert "# train, dev: text_a, label, further columns, teacher_logits" in text
    assert r"- further columns of the data: key, n, size, is\|it" in text
    assert "numbered from 0; -1 where a row of train has none" in text
    assert "It has further columns of the data too, in `rows/` and `columns/`." in text
    whole = card_of(sealed(tmp_path / "other")).text
    assert "further columns" not in whole and "has none" not in whole


def test_without_texts_rows_have_ids_and_the_card_warns(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20, keep_texts=False)
    assert loaded(root, tmp_path)["train"].column_names == ["label", "input_ids", "teacher_logits"]
    text = card_of(root).text
    assert "# train, validation: input_ids, label, teacher_logits" in text
    assert "the tokenizer beside them decodes ids to text" in text
    assert "**It contains the source texts**, in `rows/`" in card_of(sealed(tmp_path / "b")).text


def test_rows_are_read_by_pandas(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    frame = pd.read_feather(root / "rows" / "train.arrow")
    np.testing.assert_array_equal(frame["label"], Cache.open(root).examples().labels)


def test_rows_are_written_in_parts_of_several_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loadable, "BATCH_ROWS", 7)
    monkeypatch.setattr(loadable, "PART_BYTES", 1)
    root = sealed(tmp_path / "cache", 20)
    parts = list(loadable.rows(Cache.open(root), "train"))
    assert len(parts) == 6  # five batches, and the end
    assert b"".join(parts) == (root / "rows/train.arrow").read_bytes()
    assert loaded(root, tmp_path)["train"]["text_a"][29] == "a 29 é"


def test_rows_are_written_once(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    before = {path: path.stat().st_ino for path in (root / "rows").iterdir()}
    sealed(root, 40)
    assert {path: path.stat().st_ino for path in (root / "rows").iterdir()} == before
    assert sorted(path.name for path in before) == ["train.arrow", "validation.arrow"]


@pytest.mark.parametrize("damage", ["a bit", "cut", "longer", "none"])
def test_damaged_rows_are_noted_and_written_again(tmp_path: Path, damage: str) -> None:
    root = sealed(tmp_path / "cache", 20)
    path = root / "rows" / "validation.arrow"
    good = path.read_bytes()
    path.write_bytes(
        {
            "a bit": good[:500] + bytes([good[500] ^ 1]) + good[501:],
            "cut": good[:-1],
            "longer": good + b"x",
            "none": b"",
        }[damage]
    )
    if damage == "none":
        path.unlink()
    (note,) = verify_cache(root)
    assert (note.claim, note.harmless) == ("card", True)
    assert str(path) in note.message
    assert "cache-teacher seal writes it again" in note.message
    Cache.open(root).check_alignment()
    caches.seal(root)
    assert path.read_bytes() == good
    assert verify_cache(root) == []


def test_a_repair_that_lost_examples_leaves_rows_and_card_alone(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    (root / "examples" / "train.arrow").write_bytes(b"")
    (root / "README.md").write_bytes(b"")
    (root / "rows" / "train.arrow").unlink()
    assert [step.action for step in repair_cache(root)] == ["get again"]
    assert (root / "README.md").read_bytes() == b""


def test_what_the_hub_knows_of_data_and_teacher(tmp_path: Path) -> None:
    card = card_of(sealed(tmp_path / "cache", 20, about={**HUB, "author": "Jo"}))
    assert card.data.license == "cc-by-4.0"
    assert card.data.language == ["en"]
    assert card.data.source_datasets == ["owner/moods"]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.task_categories == ["text-classification"]
    assert [config["config_name"] for config in card.data.configs] == [
        *("default", "pairs", "originals", "examples")
    ]
    for line in (
        "- teacher: owner/teacher",
        f"- revision of the teacher: {'1' * 40}",
        f"- revision of the data: {'0' * 40}",
        "- author of this cache: Jo",
        "Licence of the data it was made from: cc-by-4.0.",
    ):
        assert line in card.text


def test_what_is_unknown_is_left_out(tmp_path: Path) -> None:
    card = card_of(sealed(tmp_path / "cache", 20, about={"task": "mood", "data": "folder"}))
    assert {"license", "language", "source_datasets"}.isdisjoint(card.data.to_dict())
    assert "The licence of the data is not known here" in card.text


def test_a_licence_that_the_hub_does_not_know_has_a_name(tmp_path: Path) -> None:
    about = {**HUB, "license": "For *us* alone", "language": "de,fr"}
    card = card_of(sealed(tmp_path / "cache", 20, about=about))
    assert (card.data.license, card.data["license_name"]) == ("other", "For *us* alone")
    assert card.data.language == ["de", "fr"]
    assert r"Licence of this cache: For \*us\* alone; of the data it was made from" in card.text


HOSTILE = (
    "a\n---\n# b",
    "![](https://x.org/a.png)",
    "<script>",
    "owner/name: [x]",
    "../..",
    "{{ x }} {x}",
    "é" * 5000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_metadata_of_a_stranger_are_metadata_or_left_out(tmp_path: Path, text: str) -> None:
    about = dict.fromkeys((*HUB, "license", "language", "author"), text)
    card = card_of(sealed(tmp_path / "cache", 20, about=about, label_names=(text, f"{text}2")))
    assert {"language", "source_datasets"}.isdisjoint(card.data.to_dict())
    assert card.data.license == "other"
    for markup in ("\n# b", "![", "<script", "https://"):
        assert markup not in card.text
    assert loaded(tmp_path / "cache", tmp_path)["train"].features["label"].names[0] == text
