"""`--keep-columns`: ids and further columns reach the cache, so that logits can be joined back."""

from __future__ import annotations

import datetime
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import (
    DamagedFileError,
    DataError,
    DifferentCacheError,
    MalformedError,
    UsageError,
)
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from tests.hostile import sign
from tests.teacher_cache.tiny import build

TEXTS, LABELS = [f"text {row}" for row in range(20)], [0, 1] * 10


def own(data: Any, *names: str, **more: Any) -> Data:
    return load(DataSpec(task="mood", data=str(data), keep_columns=names, **more))


def parquet(folder: Path, split: str = "train", **columns: Any) -> Path:
    table = pa.table({"text": TEXTS, "label": LABELS, **columns})
    pq.write_table(table, folder / f"{split}.parquet")
    return folder / f"{split}.parquet"


@pytest.fixture
def with_ids(options: dict[str, Any]) -> dict[str, Any]:
    """The build's data with an id per row, in two files of 48 and 24 rows."""
    for split in ("train", "validation"):
        file = Path(options["data"]) / f"{split}.tsv"
        header, *rows = file.read_text(encoding="utf-8").splitlines()
        lines = [f"{header}\tkey", *(f"{row}\t{split}-00{at}" for at, row in enumerate(rows))]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {**options, "keep_columns": ("key",)}


def test_logits_are_joined_back_by_id(with_ids: dict[str, Any]) -> None:
    build(with_ids)
    cache = Cache.open(with_ids["out"])
    assert [(c.name, c.type) for c in cache.header.columns] == [("key", "string")]
    for split in cache.splits:
        rows = cache.to_dataset(split)
        assert rows["key"][:] == [f"{split}-00{at}" for at in range(len(rows))]
        assert cache.columns(split)["key"].to_pylist() == rows["key"][:]
        assert len(rows[0]["teacher_logits"]) == 2
    assert verify_cache(with_ids["out"], deep=True) == []
    build({**with_ids, "pairs": 120, "data": None, "keep_columns": None})
    build({**with_ids, "pairs": 140, "keep_columns": None})  # reads the data, keeps what is kept
    with pytest.raises(DifferentCacheError, match=r"columns none \(there: key \(string\)\)"):
        build({**with_ids, "keep_columns": ()})
    damaged = shutil.copytree(with_ids["out"], with_ids["out"].with_name("damaged"))
    file = damaged / "columns/train.arrow"
    file.write_bytes(file.read_bytes().replace(b"train-0011", b"train-0019"))
    with pytest.raises(DamagedFileError, match=r"columns/train.arrow: expected sha256"):
        Cache.open(damaged).columns()
    assert any("columns/train.arrow" in found.message for found in verify_cache(damaged))
    sign.sign(damaged, {"columns/train.arrow": file.read_bytes()})
    assert Cache.open(damaged).columns()["key"][11].as_py() == "train-0019"
    other = (damaged / "columns/validation.arrow").read_bytes()
    sign.sign(damaged, {"columns/train.arrow": other})
    with pytest.raises(MalformedError, match=r"columns/train.arrow: expected 48 rows, found 24"):
        Cache.open(damaged).columns()
    for changes, message in (
        ({"columns": []}, r"expected no columns/ as in cache.json"),
        ({"columns": [{"name": "key", "type": "int64"}]}, r"the schema \(key: int64\)"),
        ({"columns": [{"name": "label", "type": "string"}]}, r"distinct columns, none of them"),
        ({"columns": [{"name": "key", "type": "list"}]}, r"a known value instead of 'list'"),
    ):
        sign.sign(damaged, edit_header=lambda header, changes=changes: header.update(changes))
        with pytest.raises(MalformedError, match=message):
            Cache.open(damaged).columns()


def test_without_kept_columns_the_option_is_named(options: dict[str, Any]) -> None:
    build(options)
    assert not (options["out"] / "columns").exists()
    with pytest.raises(UsageError, match="build a cache with --keep-columns"):
        Cache.open(options["out"]).columns()


def test_every_flat_type_and_what_is_missing(tmp_path: Path) -> None:
    when = datetime.datetime(2020, 1, 2)
    columns = {
        "small": pa.array([*range(19), None], pa.int8()),
        "half": pa.array([0.5] * 20, pa.float32()),
        "flag": [True, None] * 10,
        "name": pa.array(["x", None] * 10).dictionary_encode(),
        "when": pa.array([when] * 20, pa.timestamp("s")),
        "price": [Decimal("1.50")] * 20,
        "nothing": pa.nulls(20),
    }
    data = own(parquet(tmp_path, **columns), *columns, subset=0.5)
    kept = data.splits["train"].kept
    assert kept is not None and len(kept) == len(data.splits["train"])
    types = {field.name: str(field.type) for field in kept.schema}
    assert types == {
        "small": "int64",
        "half": "double",
        "flag": "bool",
        "name": "string",
        "when": "string",
        "price": "string",
        "nothing": "string",
    }
    rows = {text: at for at, text in enumerate(TEXTS)}
    for text, small in zip(
        data.splits["train"].text_a.to_pylist(), kept["small"].to_pylist(), strict=True
    ):
        assert small == (rows[text] if rows[text] < 19 else None)
    assert kept["price"][0].as_py() == "1.50"
    assert kept["when"][0].as_py().startswith("2020-01-02 00:00:00")


def test_splits_agree_on_a_type(tmp_path: Path) -> None:
    parquet(tmp_path, source=list(range(20)))
    parquet(tmp_path, "validation", source=[0.5] * 20)
    kept = own(tmp_path, "source").splits["train"].kept
    assert kept is not None and kept.schema.field("source").type == pa.float64()
    parquet(tmp_path, "validation", source=["x"] * 20)
    with pytest.raises(DataError, match=r"column source: expected one type .*int64 and string"):
        own(tmp_path, "source")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1]] * 20, r"column more: expected texts, .*for --keep-columns, found list<"),
        ([{"a": 1}] * 20, r"found struct<"),
        ([b"a"] * 20, r"found binary; leave the column out"),
        (pa.array([2**64 - 1] * 20, pa.uint64()), r"found uint64; leave"),
    ],
)
def test_what_is_not_flat_is_refused(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        own(parquet(tmp_path, more=values), "more")


def test_a_missing_column_is_named_before_anything_is_written(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"a column 'uid', found the columns sentence, label; .*with"
                                        r" --keep-columns$"):  # fmt: skip
        build({**options, "keep_columns": ("uid",)})
    assert not options["out"].exists()


@pytest.mark.parametrize("names", [("a", "a"), ("label",), ("teacher_logits",), ("x" * 201,)])
def test_names_that_a_cache_cannot_have(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="--keep-columns: expected"):
        DataSpec(task="mood", data="rows.csv", keep_columns=names)
