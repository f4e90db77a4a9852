"""Examples survive their table; their digests see every character, id, type, label and boundary."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixkd.shared.cache.codecs.arrow import encode_batch
from mixkd.shared.errors import MalformedError
from mixkd.shared.examples import Examples, Ragged, texts_sha256
from mixkd.shared.metrics import CLASSIFICATION, MULTI_LABEL, REGRESSION
from tests.numpy_caches import examples, pair_table

ROWS = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), min_size=1, max_size=6)
SEARCH = settings(derandomize=True, deadline=None, database=None, max_examples=60)
GOLDEN_IDS = "ac5dbb3558a1c56c66f55b9a3b9c0b119cd31193a6777c20d87ef57e9dfd8101"
GOLDEN_TEXTS = "67721e91104dcaa45b4554e34a451b711c666cd36623c2029f4a972416b492ef"


@SEARCH
@given(ROWS, st.integers(0, 3))
def test_ragged_rows(rows: list[list[int]], more: int) -> None:
    ragged = Ragged.from_rows(rows, np.int32)
    assert [ragged[i].tolist() for i in range(len(rows))] == rows
    width = max(map(len, rows)) + more
    padded = ragged.padded(range(len(rows)), width, -1)
    assert padded.tolist() == [row + [-1] * (width - len(row)) for row in rows]


@pytest.mark.parametrize("types", [False, True])
@pytest.mark.parametrize("texts", [0, 1, 2])
@pytest.mark.parametrize("classes", [1, 3])
def test_round_trip(types: bool, texts: int, classes: int) -> None:
    made = examples(9, classes=classes, types=types, texts=texts)
    data = made.to_bytes()
    problem_type = REGRESSION if classes == 1 else CLASSIFICATION
    found = Examples.from_bytes(data, 9, problem_type, "x")
    assert found.to_bytes() == data
    assert found.ids_sha256() == made.ids_sha256()
    assert (found.text_a is None, found.text_b is None) == (texts < 1, texts < 2)
    if texts:
        assert found.text_a.to_pylist() == made.text_a.to_pylist()
    np.testing.assert_array_equal(found.labels, made.labels)
    assert found.labels.dtype == made.labels.dtype
    np.testing.assert_array_equal(found.lengths, made.lengths)
    found.check_values(classes, 64, 9, "x")


def changed(made: Examples, **fields: Any) -> Examples:
    return dataclasses.replace(made, **fields)


def test_the_digest_sees_ids_types_labels_order_and_boundaries() -> None:
    made = examples(6, seed=3, types=True)
    assert made.token_type_ids is not None
    ids = [made.input_ids[i].tolist() for i in range(6)]
    types = [made.token_type_ids[i].tolist() for i in range(6)]
    assert len(ids[0]) > 1

    def digest(ids: list[list[int]], types: list[list[int]] | None, labels: Any) -> str:
        found = changed(
            made,
            input_ids=Ragged.from_rows(ids, np.int32),
            token_type_ids=None if types is None else Ragged.from_rows(types, np.int8),
            labels=labels,
        )
        return found.ids_sha256()

    moved = [ids[0][:-1], [ids[0][-1], *ids[1]], *ids[2:]]
    moved_types = [types[0][:-1], [types[0][-1], *types[1]], *types[2:]]
    digests = [
        digest(ids, types, made.labels),
        digest([[ids[0][0] ^ 1, *ids[0][1:]], *ids[1:]], types, made.labels),
        digest(ids, [[1 - types[0][0], *types[0][1:]], *types[1:]], made.labels),
        digest(ids, types, 1 - made.labels),
        digest(ids[::-1], types[::-1], made.labels[::-1]),
        digest(moved, moved_types, made.labels),
        digest(ids, None, made.labels),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == made.ids_sha256()


def columns(*rows: tuple[str, ...]) -> list[pa.Array]:
    return [pa.array(column) for column in zip(*rows, strict=True)]


def test_golden_digests() -> None:
    """Written down once: they are part of every fingerprint."""
    made = Examples(
        Ragged.from_rows([[1, 2, 3], [4]], np.int32),
        Ragged.from_rows([[0, 0, 1], [0]], np.int8),
        np.array([1, 0]),
    )
    assert made.ids_sha256() == GOLDEN_IDS
    texts = texts_sha256(columns(("né", "b"), ("", "c")), np.array([0.5, 1], np.float32))
    assert texts == GOLDEN_TEXTS


def test_the_digest_of_texts_sees_characters_boundaries_and_labels() -> None:
    labels = np.array([0, 1])
    digests = [
        texts_sha256(columns(*texts), found)
        for texts, found in (
            ([("ab", "c"), ("d", "e")], labels),
            ([("ab", "x"), ("d", "e")], labels),
            ([("a", "bc"), ("d", "e")], labels),
            ([("ab", "c"), ("d", "e")], labels[::-1]),
            ([("d", "e"), ("ab", "c")], labels),
            ([("ab", "c"), ("d", "e ")], labels),
            ([("abc",), ("de",)], labels),
            ([("ab", "c"), ("d", "é")], labels),
            ([("ab", "c"), ("d", "e\u0301")], labels),
        )
    ]
    assert len(set(digests)) == len(digests)


def test_mixes_are_padded_to_the_longer_side() -> None:
    made = Examples(
        Ragged.from_rows([[5, 6], [7, 8, 9], [4]], np.int32),
        Ragged.from_rows([[0, 1], [0, 0, 1], [1]], np.int8),
        np.array([0, 1, 0]),
    )
    batch = made.mixes(pair_table([0, 2], [1, 0], [0.25, 1]), pad_id=99)
    assert batch.left_ids.tolist() == [[5, 6, 99], [4, 99, 99]]
    assert batch.right_ids.tolist() == [[7, 8, 9], [5, 6, 99]]
    assert batch.left_types.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert batch.left_mask.tolist() == [[1, 1, 0], [1, 0, 0]]
    assert batch.right_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert (batch.lam.dtype, batch.left_ids.dtype) == ("float32", "int64")
    alone = made.originals([2], 0)
    assert (alone.left_ids.tolist(), alone.right_ids.tolist()) == ([[4]], [[4]])
    assert alone.lam.tolist() == [1]


def table(**columns: pa.Array) -> bytes:
    """A table of examples with these columns, not nullable."""
    fields = [pa.field(name, column.type, nullable=False) for name, column in columns.items()]
    return encode_batch(pa.record_batch(list(columns.values()), schema=pa.schema(fields)))


LABEL = pa.array([0, 1], pa.int64())
IDS = pa.array([[1, 2], [3]], pa.list_(pa.int32()))
TYPES = pa.array([[0, 1], [0]], pa.list_(pa.int8()))


def read(data: bytes, rows: int = 2, problem_type: str = CLASSIFICATION) -> Examples:
    found = Examples.from_bytes(data, rows, problem_type, "x")
    found.check_values(2, 64, rows, "x")
    return found


def test_the_plain_table_is_read() -> None:
    assert len(read(table(label=LABEL, input_ids=IDS, token_type_ids=TYPES))) == 2


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"label": LABEL.cast(pa.float32()), "input_ids": IDS}, "expected the schema"),
        ({"label": LABEL.cast(pa.int32()), "input_ids": IDS}, "expected the schema"),
        ({"label": LABEL, "input_ids": IDS.cast(pa.list_(pa.int64()))}, "expected the schema"),
        ({"label": LABEL, "input_ids": IDS.cast(pa.large_list(pa.int32()))}, "expected the sch"),
        ({"input_ids": IDS, "label": LABEL}, "expected the schema"),
        ({"label": LABEL}, "expected the schema"),
        ({"label": LABEL, "input_ids": IDS, "more": LABEL}, "expected the schema"),
        ({"text_b": pa.array(["a", "b"]), "label": LABEL, "input_ids": IDS}, "expected the sch"),
        (
            {"text_a": pa.array([b"a", b"\xff"]).view(pa.utf8()), "label": LABEL, "input_ids": IDS},
            "expected an Arrow IPC file",
        ),
        (
            {"label": pa.array([0, None], pa.int64()), "input_ids": IDS},
            "expected no nulls",
        ),
        (
            {"label": LABEL, "input_ids": pa.array([[1], None], pa.list_(pa.int32()))},
            "expected no nulls",
        ),
        (
            {"label": LABEL, "input_ids": pa.array([[1], [None]], pa.list_(pa.int32()))},
            "expected no nulls",
        ),
        (
            {
                "label": LABEL,
                "input_ids": IDS,
                "token_type_ids": pa.array([[0, None], [1]], pa.list_(pa.int8())),
            },
            "expected no nulls",
        ),
        (
            {"label": LABEL, "input_ids": pa.array([[1, 2], []], pa.list_(pa.int32()))},
            "tokens in every example",
        ),
        (
            {
                "label": LABEL,
                "input_ids": pa.array([[], []], pa.list_(pa.int32())),
                "token_type_ids": pa.array([[], []], pa.list_(pa.int8())),
            },
            "tokens in every example",
        ),
        (
            {"label": LABEL, "input_ids": pa.array([[1], [-1]], pa.list_(pa.int32()))},
            "ids of at least 0",
        ),
        (
            {
                "label": LABEL,
                "input_ids": IDS,
                "token_type_ids": pa.array([[0], [0, 1]], pa.list_(pa.int8())),
            },
            "one type for each id",
        ),
        (
            {
                "label": LABEL,
                "input_ids": IDS,
                "token_type_ids": pa.array([[0, -1], [0]], pa.list_(pa.int8())),
            },
            "one type for each id",
        ),
        ({"label": pa.array([0, 2]), "input_ids": IDS}, r"labels in \[0, 1\]"),
        ({"label": pa.array([-2, 0]), "input_ids": IDS}, r"labels in \[0, 1\], or -1 for none"),
        ({"label": pa.array([-1, 0]), "input_ids": IDS}, "2 examples with a label, of 2"),
    ],
)
def test_tables_that_no_builder_writes(columns: dict[str, pa.Array], expected: str) -> None:
    with pytest.raises(MalformedError, match=f"^x: .*{expected}"):
        read(table(**columns))


def test_other_numbers_of_rows() -> None:
    for rows in (1, 3):
        with pytest.raises(MalformedError, match=f"expected {rows} rows, found 2 rows"):
            read(table(label=LABEL, input_ids=IDS), rows)


def test_labels_of_regression_are_finite() -> None:
    labels = pa.array([0.5, float("inf")], pa.float32())
    with pytest.raises(MalformedError, match="finite labels"):
        read(table(label=labels, input_ids=IDS), problem_type=REGRESSION)


@pytest.mark.parametrize(
    ("label", "problem_type"),
    [
        (pa.array([1, -1], pa.int64()), CLASSIFICATION),
        (pa.array([-0.5, float("nan")], pa.float32()), REGRESSION),
    ],
)
def test_rows_may_lack_a_label_if_that_is_said(label: pa.Array, problem_type: str) -> None:
    found = Examples.from_bytes(table(label=label, input_ids=IDS), 2, problem_type, "x")
    assert found.labelled.tolist() == [True, False]
    found.check_values(2, 64, 1, "x")
    for labelled in (0, 2):
        with pytest.raises(MalformedError, match=f"expected {labelled} examples with a label, of"):
            found.check_values(2, 64, labelled, "x")


def test_any_changed_byte_gives_examples_or_a_named_error() -> None:
    data = examples(4, types=True).to_bytes()
    choose = np.random.default_rng(0)
    for place in choose.integers(0, len(data), 400):
        bad = bytearray(data)
        bad[place] = choose.integers(256)
        try:
            read(bytes(bad), 4)
        except MalformedError:
            continue


def sets(*rows: list[int], width: int = 3) -> pa.Array:
    return pa.array(rows, pa.list_(pa.int8(), width))


def read_sets(label: pa.Array, labelled: int = 2, classes: int = 3) -> Examples:
    data = table(label=label, input_ids=IDS)
    found = Examples.from_bytes(data, 2, MULTI_LABEL, "x", classes)
    found.check_values(classes, 64, labelled, "x")
    return found


def test_labels_of_multi_label_are_rows_of_0_and_1() -> None:
    found = read_sets(sets([1, 0, 1], [0, 0, 0]))
    assert (found.labels.dtype, found.labels.tolist()) == ("int8", [[1, 0, 1], [0, 0, 0]])
    assert found.labelled.tolist() == [True, True], "no label set is a label"
    assert found.to_bytes() == table(label=sets([1, 0, 1], [0, 0, 0]), input_ids=IDS)
    without = read_sets(sets([1, 0, 1], [-1, -1, -1]), labelled=1)
    assert without.labelled.tolist() == [True, False]


@pytest.mark.parametrize(
    ("label", "labelled", "expected"),
    [
        (sets([1, 0], [0, 1], width=2), 2, "expected the schema"),
        (sets([1, 0, 0, 0], [0, 1, 0, 0], width=4), 2, "expected the schema"),
        (pa.array([0, 1], pa.int64()), 2, "expected the schema"),
        (pa.array([[0, 1, 1], [0, 0, 1]], pa.list_(pa.int8())), 2, "expected the schema"),
        (pa.array([[0, 1, 1], None], pa.list_(pa.int8(), 3)), 2, "expected no nulls"),
        (pa.array([[0, 1, 1], [0, None, 0]], pa.list_(pa.int8(), 3)), 2, "expected no nulls"),
        (sets([0, 1, 2], [0, 1, 0]), 2, "a 0 or 1 for each label, or -1 for all of them"),
        (sets([0, 1, -1], [0, 1, 0]), 2, "a 0 or 1 for each label, or -1 for all of them"),
        (sets([-1, 1, 0], [0, 1, 0]), 1, "a 0 or 1 for each label, or -1 for all of them"),
        (sets([-2, -2, -2], [0, 1, 0]), 1, "a 0 or 1 for each label, or -1 for all of them"),
        (sets([-1, -1, -1], [0, 1, 0]), 2, "2 examples with a label, of 2"),
    ],
)
def test_label_sets_that_no_builder_writes(label: pa.Array, labelled: int, expected: str) -> None:
    with pytest.raises(MalformedError, match=f"^x: .*{expected}"):
        read_sets(label, labelled)


def test_digests_see_every_label_of_a_row() -> None:
    """By hand: the labels of a row as they are stored, one byte each."""
    made = dataclasses.replace(
        examples(2), labels=np.array([[1, 0, 1], [-1, -1, -1]], np.int8), token_type_ids=None
    )
    plain = hashlib.sha256()
    for row, labels in enumerate((b"\1\0\1", b"\xff\xff\xff")):
        ids = made.input_ids[row].tolist()
        plain.update(len(ids).to_bytes(4, "little"))
        plain.update(b"".join(number.to_bytes(4, "little") for number in ids) + labels)
    assert made.ids_sha256() == plain.hexdigest()
    other = dataclasses.replace(made, labels=np.array([[1, 1, 0], [-1, -1, -1]], np.int8))
    assert other.ids_sha256() != made.ids_sha256()
    assert other.texts_sha256() != made.texts_sha256()
