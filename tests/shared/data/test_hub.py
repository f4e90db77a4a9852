"""Data sets as `datasets` gives them: names of classes, unlabelled rows, splits without labels.

The library reads a local folder in the Hub's layout here; the network's part is in `tests/hub`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mixkd.shared.data import read
from mixkd.shared.data.hub import HubName, read_hub
from mixkd.shared.data.named_splits import Wanted
from mixkd.shared.errors import DataError
from mixkd.shared.metrics import REGRESSION
from mixkd.teacher_cache.data import load as data_module
from mixkd.teacher_cache.data.load import DataSpec

datasets = pytest.importorskip("datasets")
LABEL = datasets.ClassLabel(names=["no", "yes"])


def write(folder: Path, split: str, rows: list[dict[str, object]], label: object = LABEL) -> Path:
    """A split as parquet with the features that the Hub's viewer and the library know."""
    features = {name: datasets.Value("string") for name in rows[0]} | {"label": label}
    (folder / "data").mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_list(rows, features=datasets.Features(features))
    table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


PAIRS: list[dict[str, object]] = [
    {"premise": "a", "hypothesis": "b", "label": 0},
    {"premise": "c", "hypothesis": "", "label": 1},
]


def loaded(monkeypatch: pytest.MonkeyPatch, folder: Path, **more: object) -> data_module.Data:
    """As if the folder were a name on the Hub, which is all that it is to the library."""
    monkeypatch.setattr(read, "read_path", lambda path, wanted: _hub(str(path), wanted))
    return data_module.load(DataSpec(task="mood", data=str(folder), **more))  # type: ignore[arg-type]


def _hub(name: str, wanted: Wanted) -> data_module.Source:
    return read_hub(HubName(name), wanted)


def test_splits_names_and_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "validation", "test"):
        write(tmp_path, split, PAIRS)
    data = loaded(monkeypatch, tmp_path)
    assert list(data.splits) == ["train", "validation"]
    assert data.label_names == ("no", "yes")
    # A pair may lack a side: official sets have such rows.
    assert data.splits["train"].text_b.to_pylist() == ["b", ""]
    assert data.splits["train"].labels.tolist() == [0, 1]


def test_floats_are_a_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, object]] = [{"text": str(row), "label": float(row)} for row in range(20)]
    write(tmp_path, "train", rows, datasets.Value("float32"))
    data = loaded(monkeypatch, tmp_path)
    assert data.problem_type == REGRESSION
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 18,
        "validation": 2,
    }


def test_what_the_hub_knows_of_a_data_set_is_noted_flat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card may list several licences; a cache's notes are strings, numbers and booleans."""
    import huggingface_hub

    def described(self: object, name: str, revision: str | None) -> SimpleNamespace:
        return SimpleNamespace(sha=None, card_data=SimpleNamespace(license=["mit", "cc0-1.0"]))

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", described)
    write(tmp_path, "train", PAIRS * 9)
    about = loaded(monkeypatch, tmp_path).about
    assert about["data_license"] == "mit, cc0-1.0"
    assert "data_revision" not in about


def test_rows_without_a_label_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "train", PAIRS)
    write(tmp_path, "validation", [{**PAIRS[0], "label": -1}])
    with pytest.raises(DataError, match=r"validation, row 1, .*-1 \(no label\); remove rows with"):
        loaded(monkeypatch, tmp_path)


def test_a_data_set_without_a_train_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "test", PAIRS)
    with pytest.raises(DataError, match=r"expected a split train, found test"):
        loaded(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("imdb", ("imdb", None, None)),
        ("owner/name", ("owner/name", None, None)),
        ("owner/name:config", ("owner/name", "config", None)),
        ("owner/name@v1.0", ("owner/name", None, "v1.0")),
        ("owner/name:en-us@refs/convert/parquet", ("owner/name", "en-us", "refs/convert/parquet")),
    ],
)
def test_a_name_has_a_configuration_and_a_revision(
    text: str, parts: tuple[str | None, ...]
) -> None:
    hub = HubName.of(text)
    assert (hub.name, hub.configuration, hub.revision) == parts


@pytest.mark.parametrize("text", ["a/b/c", "a:b:c", "", "a/b@", "..", "owner/na me"])
def test_what_is_no_name_is_a_typo(text: str) -> None:
    with pytest.raises(DataError, match=r"OWNER/NAME:CONFIGURATION.*found none of these; check"):
        HubName.of(text)


@pytest.mark.parametrize("text", ["s3://bucket/rows.csv", "https://example.org/rows.csv"])
def test_an_address_is_recognised_as_such(text: str) -> None:
    with pytest.raises(DataError, match=r"found an address; download it and name the file"):
        HubName.of(text)


def test_the_revision_is_what_is_asked_for_and_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[object] = []

    def described(self: object, name: str, revision: str | None) -> SimpleNamespace:
        asked.append((name, revision))
        return SimpleNamespace(sha="c" * 40, card_data=None)

    def load_dataset(name: str, configuration: str, revision: str) -> object:
        asked.append((name, configuration, revision))
        rows = [{"text": str(row), "label": row % 2} for row in range(20)]
        return datasets.DatasetDict(train=datasets.Dataset.from_list(rows))

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", described)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = data_module.load(DataSpec(task="mood", data="owner/name:en@v2"))
    assert asked == [("owner/name", "v2"), ("owner/name", "en", "c" * 40)]
    assert data.about["data_revision"] == "c" * 40 and data.about["data_config"] == "en"


def test_names_of_classes_in_a_parquet_file_are_kept(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": str(row), "label": row % 2} for row in range(18)]
    write(tmp_path, "train", rows)
    file = next((tmp_path / "data").iterdir())
    for data in (tmp_path, file):
        found = data_module.load(DataSpec(task="mood", data=str(data)))
        assert found.label_names == ("no", "yes")
    other = datasets.ClassLabel(names=["yes", "no"])
    write(tmp_path, "validation", rows, other)
    with pytest.raises(DataError, match=r"column label: expected the classes of .* \(no, yes\)"):
        data_module.load(DataSpec(task="mood", data=str(tmp_path)))
