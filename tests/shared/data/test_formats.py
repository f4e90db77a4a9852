"""What `datasets` reads from a disk: every format, packing, part and saved set is the same data."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixkd.shared.data import sources
from mixkd.shared.data.files import read_file
from mixkd.shared.data.named_splits import OneSplit
from mixkd.shared.data.read import read_source
from mixkd.shared.errors import DataError
from mixkd.teacher_cache.data.load import Data, DataSpec, load

datasets = pytest.importorskip("datasets")
ROWS = [
    {"text": f'row {row}, "None" \u2028é', "label": ["NA", "no", "yes"][row % 3]}
    for row in range(24)
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ("text", "label")}
CSV = "text,label\n" + "".join(
    '"{}",{}\n'.format(row["text"].replace('"', '""'), row["label"]) for row in ROWS
)
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TEXTS = {
    "rows.csv": CSV,
    "rows.tsv": "text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in ROWS),
    "rows.jsonl": LINES,
    "lines.json": LINES,
    "array.json": json.dumps(ROWS, indent=2),
    "columns.json": json.dumps(COLUMNS),
    "inside.json": json.dumps({"version": 1, "data": ROWS}),
}


def zstd(data: bytes) -> bytes:
    return pa.compress(data, "zstd", asbytes=True)


PACKED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


def own(data: Any, **more: Any) -> Data:
    return load(DataSpec(task="mood", data=data, **more))


@pytest.fixture
def expected() -> dict[str, str]:
    return own(datasets.Dataset.from_list(ROWS)).texts_sha256()


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("packing", ["", *PACKED])
def test_texts_in_every_packing(
    tmp_path: Path, expected: dict[str, str], name: str, packing: str
) -> None:
    if packing and name not in ("rows.csv", "lines.json"):
        pytest.skip("the packing does not depend on the format")
    data = TEXTS[name].encode()
    file = tmp_path / f"{name}{packing}"
    file.write_bytes(PACKED[packing](data) if packing else data)
    found = own(file)
    assert found.texts_sha256() == expected
    assert found.label_names == ("NA", "no", "yes")
    assert found.about["data"] == file.name


def test_arrow_in_both_layouts(tmp_path: Path, expected: dict[str, str]) -> None:
    table = pa.table(COLUMNS)
    for name, new in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        with new(str(tmp_path / f"{name}.arrow"), table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
        assert own(tmp_path / f"{name}.arrow").texts_sha256() == expected


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_every_kind_of_string_of_a_parquet_file(
    tmp_path: Path, expected: dict[str, str], kind: pa.DataType
) -> None:
    table = pa.table({name: pa.array(values).cast(kind) for name, values in COLUMNS.items()})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=5)
    assert own(tmp_path / "rows.parquet").texts_sha256() == expected


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002.csv", "train-00001-of-00002.csv"),
        ("data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv"),
        ("train/a.csv", "train/b.csv"),
        ("films_train_1.csv", "films_train_2.csv"),
        ("first.csv", "second.csv"),
    ],
)
def test_parts_of_a_split(tmp_path: Path, expected: dict[str, str], names: tuple[str, ...]) -> None:
    header, *rows = (f"{line}\n" for line in CSV.split("\n") if line)
    for name, part in zip(names, (rows[:10], rows[10:]), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(header + "".join(part), encoding="utf-8")
    assert own(tmp_path).texts_sha256() == expected
    (tmp_path / names[1]).write_text("words,label\na,0\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"expected the columns of .* \(text, label\), found words"):
        own(tmp_path)


@pytest.mark.parametrize("many", [False, True])
def test_what_save_to_disk_wrote(
    tmp_path: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "unused")
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["NA", "no", "yes"])
    )
    rows = datasets.Dataset.from_list(ROWS).cast(features)
    saved = datasets.DatasetDict(train=rows, test=rows.select(range(6))) if many else rows
    saved.save_to_disk(str(tmp_path / "saved"), num_shards=None if many else 2)
    data = own(str(tmp_path / "saved"))
    assert data.texts_sha256() == expected
    assert data.label_names == ("NA", "no", "yes")
    assert data.about["data"] == "saved"
    if many:
        found = own(str(tmp_path / "saved"), validation_split=("test",))
        assert [*map(len, found.splits.values())] == [24, 6]
    assert not (tmp_path / "unused").exists()
    (tmp_path / "saved" / ("dataset_dict.json" if many else "state.json")).write_text("{")
    with pytest.raises(DataError, match=r"saved: expected a data set that datasets saved, found "):
        own(str(tmp_path / "saved"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"text": "a", "label": 0}, {"text": "b"}]', r"row 2: .*the keys text, label, found"),
        ('[{"text": "a", "label": 0}, {"text": ]', r"row 2: expected an object with the keys"),
        ('[{"text": "a", "label": 0} {}]', r"row 2: .* cut or broken at character 27"),
        ('[{"text": "a", "label": 0}] x', r"row 2: .*more text behind the list, at character 28"),
        ("[1, 2]", r"row 1: expected a JSON object, found 1"),
        ('{"text": ["a"], "label": [0, 1]}', r"expected at least two training rows|column text"),
        ('{"train": [{"a": 1}], "test": [{"a": 1}]}', r"one list of rows, found several: train, "),
        ("5", r"row 1: expected a JSON object, found 5"),
        ("", r"rows.json: expected at least one row, found none"),
        ("[" * 10**5, r"row 1: expected a JSON object, found .*recursion"),
    ],
)
def test_json_that_is_no_table_is_named_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        own(tmp_path / "rows.json")


@pytest.mark.parametrize("packing", PACKED)
def test_broken_packings_are_named_in_one_line(tmp_path: Path, packing: str) -> None:
    packed = PACKED[packing](CSV.encode() * 50)
    for data in (b"text,label\na,0\n", packed[: len(packed) // 2]):
        (tmp_path / f"rows.csv{packing}").write_bytes(data)
        with pytest.raises(DataError, match=r"rows.csv\.\w+: expected a csv file, found .*write"):
            own(tmp_path / f"rows.csv{packing}")


def test_a_text_per_line(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text('a, b\n\n \nc\r\n"d\u2028e"', encoding="utf-8")
    table = read_file(tmp_path / "texts.txt")
    assert list(table.rows()) == [{"text": "a, b"}, {"text": "c"}, {"text": '"d\u2028e"'}]
    for name in ("test.csv", "train.txt"):
        (tmp_path / name).write_text("text\nfirst\nsecond\n", encoding="utf-8")
    chosen = {split: read_source(tmp_path, OneSplit(split)).tables for split in ("test", "train")}
    assert [len(tables[split]) for split, tables in chosen.items()] == [2, 3]


def test_notes_beside_rows_are_not_rows(tmp_path: Path, expected: dict[str, str]) -> None:
    (tmp_path / "rows.csv").write_text(CSV, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("about\n", encoding="utf-8")
    assert own(tmp_path).texts_sha256() == expected


def test_rows_one_after_the_other_are_the_values_of_the_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SLICE_ROWS", 7)
    for name in ("rows.csv", "array.json", "rows.parquet"):
        if name == "rows.parquet":
            pq.write_table(pa.table(COLUMNS), tmp_path / name)
        else:
            (tmp_path / name).write_text(TEXTS[name], encoding="utf-8")
        assert list(read_file(tmp_path / name).rows()) == ROWS


def test_rows_are_decoded_as_they_are_asked_for() -> None:
    def read() -> Iterator[list[object]]:
        yield ["a", "b"]
        raise ValueError("a broken part")

    rows = sources.Table("here", {"text": sources.Column(4, read)}).rows()
    assert [next(rows), next(rows)] == [{"text": "a"}, {"text": "b"}]
    with pytest.raises(DataError, match=r"here, column text: .* found ValueError: a broken part"):
        next(rows)
    few = sources.Table("here", {"text": sources.Column(3, lambda: [["a", "b"]])})
    with pytest.raises(DataError, match=r"found ValueError: 2 values in 3 rows"):
        list(few.rows())


def test_a_column_that_cannot_be_decoded_is_named_where_rows_are_read(tmp_path: Path) -> None:
    distant = pa.array([2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"text": ["a"], "when": distant}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet, column when: expected values that can be"):
        list(read_file(tmp_path / "rows.parquet").rows())


def test_what_is_not_read_says_what_is(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"\.arrow, found the extension '\.gz'; .*\.gz, \.bz2"):
        own(tmp_path / "rows.parquet.gz")
