"""Data that no table should be: each is refused by name in one line, before anything is written."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixkd.shared.errors import DataError, MixkdError, OutputError, UsageError
from mixkd.shared.metrics import REGRESSION
from mixkd.teacher_cache.data import text_tables
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache

pytestmark = pytest.mark.timeout(60)  # some of these would be waited for without end

TEXTS, NUMBERS = ["a", "b"] * 10, [0, 1] * 10
DISTANT = pa.array([2**62, 0] * 10, pa.timestamp("us"))
OFFSETS = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in range(21)))
NOT_UTF_8 = pa.Array.from_buffers(pa.string(), 20, [None, OFFSETS, pa.py_buffer(b"a\xff" * 10)])
MANY = 10**5
Make = Callable[[Path], Path]


def own(path: object, **more: Any) -> Data:
    return load(DataSpec(task="mood", data=str(path), **more))


def file(name: str, content: bytes | str) -> Make:
    def make(folder: Path) -> Path:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        return folder / name

    return make


def parquet(**columns: Any) -> Make:
    def make(folder: Path) -> Path:
        table = pa.table({"text": TEXTS, "label": NUMBERS, **columns})
        pq.write_table(table, folder / "rows.parquet")
        return folder / "rows.parquet"

    return make


def two_columns_of_one_name(folder: Path) -> Path:
    columns = [pa.array(TEXTS), pa.array(TEXTS), pa.array(NUMBERS)]
    pq.write_table(pa.Table.from_arrays(columns, ["text", "text", "label"]), folder / "t.parquet")
    return folder / "t.parquet"


def labels(*values: object) -> Make:
    """Lines of JSON with these labels."""
    rows = ({"text": "a", "label": value} for value in values * 10)
    return file("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def line(text: str) -> Make:
    return file("rows.jsonl", text + "\n")


def pipe(folder: Path, name: str = "rows.tsv") -> Path:
    os.mkfifo(folder / name)
    return folder / name


def pipe_in_folder(name: str) -> Make:
    def make(folder: Path) -> Path:
        if name != "train.csv":
            (folder / "train.csv").write_text("text,label\n" + "a,0\nb,1\n" * 9)
        pipe(folder, name)
        return folder

    return make


def link(name: str, target: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).symlink_to(target)
        return folder / name

    return make


def many_classes(named: bool) -> Make:
    def make(folder: Path) -> Path:
        names = [f"class {number}" for number in range(10**5)]
        rows = "".join(f"a,{name}\n" for name in names)
        (folder / "train.csv").write_text("text,label\n" + rows)
        if named:
            (folder / "label_names.txt").write_text("\n".join(names))
        return folder

    return make


def nested() -> dict[str, tuple[Make, str]]:
    """Rows, texts and labels of many levels, up to and beyond what the parser of JSON takes."""
    cases: dict[str, tuple[Make, str]] = {}
    for levels in (100, 900, 10**5):
        for kind, opening, closing in (("list", "[", "]"), ("object", '{"a":', "}")):
            value = opening * levels + "1" + closing * levels
            rows = f'{{"text": "a", "label": {value}}}\n' * 3
            found = rf"column label: .*found an? {kind}" if levels < 1000 else "recursion"
            cases[f"label of {levels} {kind}s"] = (line(rows), rf"rows.jsonl, row 1.*{found}")
            rows = f'{{"text": {value}, "label": 0}}\n{{"text": "a", "label": 1}}\n' * 9
            found = r"column text: expected text, found (list|dict);" if levels < 1000 else "recurs"
            cases[f"text of {levels} {kind}s"] = (line(rows), rf"rows.jsonl, row 1.*{found}")
        cases[f"row of {levels} lists"] = (
            line("[" * levels + "]" * levels),
            "row 1: .*JSON object",
        )
    return cases


SPECIAL = r"expected a regular file, found something else \(a folder, pipe or device\)"
CASES: dict[str, tuple[Make, str]] = {
    # Parquet.
    "distant time as label": (
        parquet(label=DISTANT),
        r"rows.parquet, column label: expected values that can be decoded, found OverflowError",
    ),
    "distant time as text": (parquet(text=DISTANT), r"column text: .*--text-columns$"),
    "broken text": (parquet(text=NOT_UTF_8), r"column text: .*found UnicodeDecodeError"),
    "broken label": (parquet(label=NOT_UTF_8), r"column label: .*UnicodeDecodeError.*--label-col"),
    "times as labels": (
        parquet(label=pa.array([0, 1] * 10, pa.timestamp("s"))),
        r"row 1, column label: expected one class or one number, found a value of type datetime",
    ),
    "bytes as labels": (parquet(label=[b"a", b"b"] * 10), r"found a value of type bytes"),
    "lists of lists as labels": (
        parquet(label=[[[0]], [[0], [1]]] * 10),
        r"row 1, column label: expected a list of class numbers or of names, found a list",
    ),
    "struct labels": (
        parquet(label=[{"a": 1}, {"a": 2}] * 10),
        r"found an object; correct the row",
    ),
    "two columns of one name": (two_columns_of_one_name, r"a different name .* text, text, label"),
    "no bytes of parquet": (file("e.parquet", b""), r"e.parquet: expected a parquet file, found"),
    "packed parquet": (file("p.parquet", gzip.compress(b"a")), r"expected a parquet file, found"),
    # Text files.
    "no UTF-8": (file("rows.csv", b"text,label\n\xff,0\n"), r"UTF-8 text, found byte 0xff at off"),
    "no UTF-8 in JSON": (
        file("rows.jsonl", b'{"text": "\xff"}\n'),
        r"found byte 0xff at offset 10",
    ),
    "UTF-16": (file("rows.csv", "text,label\na,0\n".encode("utf-16")), r"expected UTF-8 text"),
    "packed": (file("rows.csv", gzip.compress(b"text,label\n")), r"byte 0x8b .* compressed$"),
    "nothing": (file("rows.csv", b""), r"rows.csv: expected at least one row, found none"),
    "a header": (file("rows.tsv", b"text\tlabel"), r"rows.tsv: expected at least one row, found"),
    "only NUL": (file("rows.jsonl", bytes(1000)), r"row 1: expected a JSON object"),
    "one name for many columns": (file("rows.csv", ",".join("c" * MANY)), r"a different name for"),
    "many columns": (
        file("rows.csv", ",".join(map(str, range(MANY))) + ("\n" + ",".join("1" * MANY)) * 2),
        r"a column of texts and a column of labels, .* 18, 19, …; say which",
    ),
    "large field": (
        file("rows.csv", "text,label\n" + "a" * (text_tables.FIELD_LIMIT_CHARACTERS + 1) + ",0\n"),
        r"rows.csv, line 2: .*field larger than field limit",
    ),
    # Labels.
    "half a character": (labels("\ud800", "x"), r"row 1, column label: .*half a character"),
    "lists": (
        labels(["y", "z"], "x", "y"),
        r"row 1, .*found a list, where most rows have one label",
    ),
    "objects": (labels({"y": 1}, {"x": 0}), r"row 1, column label: .*found an object; correct"),
    "an object in row 2": (labels("x", {"y": 1}), r"rows.jsonl, row 2, column label"),
    "not a number": (labels(float("nan"), 0.5), r"row 1, column label: .*finite number, found nan"),
    "infinity": (labels(0.5, float("inf")), r"row 2, column label: .*finite number, found inf"),
    "beyond float32": (labels(0.5, 1e39), r"row 2, column label: .*finite number, found 1e\+39"),
    "beyond 63 bits": (labels(2**63, 0), r"without a gap, found 0, 9223372036854775808"),
    "beyond 64 bits": (labels(10**4000, 0.5), r"found a number of more than 64 bits"),
    "more digits than Python reads": (line('{"label": ' + "9" * 5000 + "}"), r"row 1: .* limit"),
    "texts": (labels("long " * 201, "x"), r"row 1, .*found a text of 1005 characters; .*--label-c"),
    "many classes": (
        many_classes(named=False),
        r"at most 65536 classes, found 100000; name the co",
    ),
    "many named classes": (many_classes(named=True), r"at most 65536 classes, found 100000"),
    # Files that are none, alone and in a folder.
    "pipe": (pipe, rf"rows.tsv: {SPECIAL}; name"),
    "pipe of parquet": (lambda folder: pipe(folder, "rows.parquet"), rf"rows.parquet: {SPECIAL}"),
    "pipe of training rows": (pipe_in_folder("train.csv"), rf"train.csv: {SPECIAL}"),
    "pipe of validation rows": (pipe_in_folder("dev.jsonl"), rf"dev.jsonl: {SPECIAL}"),
    "pipe of label names": (pipe_in_folder("label_names.txt"), rf"label_names.txt: {SPECIAL}"),
    "device": (link("rows.csv", "/dev/zero"), rf"rows.csv: {SPECIAL}"),
    "device of parquet": (link("rows.parquet", "/dev/zero"), rf"rows.parquet: {SPECIAL}"),
    "memory": (link("rows.csv", "/proc/self/mem"), r"rows.csv: expected a csv file, found OSError"),
    "link to itself": (
        lambda folder: link("train.csv", "train.csv")(folder).parent,
        r"train.csv: .*found Too many levels of symbolic links",
    ),
    "link to nothing": (
        lambda folder: link("train.csv", "nothing")(folder).parent,
        r"train.csv: expected a file, found none",
    ),
    "long name": (
        lambda folder: folder / ("x" * 300),
        r"a file or folder, found none; check --dat",
    ),
    "long name of a file": (lambda folder: folder / ("x" * 300 + ".csv"), r"found none; check --d"),
    "NUL in a name": (lambda folder: folder / "a\0b.csv", r"expected a file or folder, found none"),
    **nested(),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_data_is_refused_in_one_line_and_nothing_is_written(
    tmp_path: Path, good_teacher: Path, name: str
) -> None:
    make, message = CASES[name]
    folder = tmp_path / "data"
    folder.mkdir()
    options = BuildOptions(
        task="mood", pairs=2, teacher=str(good_teacher), data=make(folder), out=tmp_path / "cache"
    )
    with pytest.raises(DataError, match=message) as caught:
        build_cache(options)
    text = str(caught.value)
    assert caught.value.exit_code == 1
    assert text.isprintable() and len(text) < 3000
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_columns_that_are_not_used_may_hold_anything(tmp_path: Path) -> None:
    images = pa.array([[0] * 5] * 20)
    path = parquet(when=DISTANT, other=NOT_UTF_8, image=images)(tmp_path)
    data = own(path)
    assert data.label_names == ("0", "1")
    assert {*data.splits["train"].text_a.to_pylist()} == {"a", "b"}
    with pytest.raises(DataError, match=r"rows.parquet, column when: .*OverflowError"):
        own(path, label_column="when")


def test_a_parquet_file_under_a_folder_of_a_partition_has_its_own_columns(tmp_path: Path) -> None:
    folder = tmp_path / "text=c"
    folder.mkdir()
    assert "c" not in own(parquet()(folder)).splits["train"].text_a.to_pylist()


def test_bytes_of_a_parquet_file_that_are_changed_are_read_or_refused(tmp_path: Path) -> None:
    whole = parquet()(tmp_path).read_bytes()
    dice = random.Random(1)
    for _ in range(300):
        data = bytearray(whole)
        for place in dice.sample(range(len(data)), 3):
            data[place] = dice.randrange(256)
        path = file("changed.parquet", bytes(data))(tmp_path)
        with suppress(MixkdError):
            own(path)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (file("rows.csv", "\ufefftext,label\n" + "a,0\nb,1\n" * 9), ("0", "1")),
        (file("rows.jsonl", "\ufeff" + '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
              * 9), ("x", "y")),
        (file("rows.csv", "text,label\n" + "a\0b,0\nb,1\n" * 9), ("0", "1")),
        (labels(True, False), ("0", "1")),
        (parquet(label=[True, False] * 10), ("0", "1")),
        (file("rows.csv", "text,label\n" + "a,True\nb,False\n" * 9), ("False", "True")),
        (parquet(label=pa.array(["x", "y"] * 10).dictionary_encode()), ("x", "y")),
    ],
)  # fmt: skip
def test_what_is_odd_but_clear_is_read(tmp_path: Path, make: Make, names: tuple[str, ...]) -> None:
    data = own(make(tmp_path))
    assert data.label_names == names
    assert sum(map(len, data.splits.values())) in (18, 20)


def test_a_name_of_a_file_that_is_not_text_is_kept_as_far_as_it_is(tmp_path: Path) -> None:
    """A name of bytes would stop the cache's header from being written, after the whole pass."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xffrows.csv")
    Path(path).write_text("text,label\n" + "a,0\nb,1\n" * 9)
    assert own(path).about["data"] == "\ufffdrows.csv"


def test_given_names_are_text(tmp_path: Path) -> None:
    path = labels(0, 1)(tmp_path)
    with pytest.raises(UsageError, match=r"--label-names: expected .* in whole characters"):
        own(path, label_names=("a", "\udcff"))


def test_a_column_of_an_object_that_cannot_be_decoded_is_named() -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset(pa.table({"text": TEXTS, "label": NUMBERS, "when": DISTANT}))
    assert load(DataSpec(task="mood", data=rows)).label_names == ("0", "1")
    with pytest.raises(DataError, match=r"mood, train, column when: .*OverflowError"):
        load(DataSpec(task="mood", data=rows, label_column="when"))


def test_many_scores_are_numbers(tmp_path: Path) -> None:
    assert own(labels(2**63, 0.5)(tmp_path)).problem_type == REGRESSION


@pytest.mark.parametrize("above", ["", "new/"])
def test_a_name_too_long_for_a_disk_is_refused_as_output(
    tmp_path: Path, good_teacher: Path, above: str
) -> None:
    out = f"{tmp_path}/{above}{'x' * 300}"
    with pytest.raises(OutputError, match=r"x: expected a folder that can be .* a name of 300 byt"):
        build_cache(BuildOptions(task="mood", pairs=2, teacher=str(good_teacher), out=out))
    assert not list(tmp_path.iterdir())
