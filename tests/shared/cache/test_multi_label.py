"""Multi-label caches: sealed, read, checked and shown, in either format of shards."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from mixkd.shared.cache.claims import Finding
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.errors import AlignmentError, MalformedError, UsageError
from mixkd.shared.metrics import MULTI_LABEL, metrics
from tests.hostile.sign import sign
from tests.numpy_caches import FORMATS, contents, job, sealed


@pytest.mark.parametrize("shard_format", FORMATS)
def test_labels_and_scores_are_those_that_were_built(tmp_path: Path, shard_format: str) -> None:
    root = sealed(tmp_path / "a", 20, shard_format, classes=3, several=True, labelled=25)
    cache = Cache.open(root)
    assert (cache.identity.classes, cache.header.metric) == (3, "micro_f1")
    labels = cache.examples("train").labels
    assert labels[:4].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert labels[25:].tolist() == [[-1] * 3] * 5
    expected = metrics(cache.logits("train")[:25], labels[:25], MULTI_LABEL)
    assert cache.check_alignment()["train"] == expected
    found = verify_cache(root, deep=True)
    assert [each for each in found if isinstance(each, Finding) and each.claim != "texts"] == []
    rows = pa.ipc.open_file(root / "rows/train.arrow").read_all()
    assert rows["label"].to_pylist()[:4] == [[], [0], [1], [0, 1]]
    assert rows["label"].to_pylist()[25:] == [None] * 5
    again = sealed(tmp_path / "b", 20, shard_format, classes=3, several=True, labelled=25)
    assert contents(again) == contents(root), "the same bytes again"


def test_logits_of_other_examples_are_found(tmp_path: Path) -> None:
    """Labels of two rows exchanged, every digest right: the sealed scores are not theirs."""
    root = sealed(tmp_path / "cache", 20, classes=3, several=True)
    batch = pa.ipc.open_file(root / "examples/train.arrow").get_batch(0)
    at = batch.schema.get_field_index("label")
    labels = batch["label"].to_pylist()
    labels[1], labels[6] = labels[6], labels[1]
    column = pa.array(labels, batch.schema.field(at).type)
    changed = batch.set_column(at, batch.schema.field(at), column)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, changed.schema) as writer:
        writer.write_batch(changed)
    sign(root, {"examples/train.arrow": sink.getvalue().to_pybytes()})
    with pytest.raises(AlignmentError, match="from the stored logits and labels"):
        Cache.open(root).check_alignment()


def test_a_metric_of_other_labels_and_too_many_labels_are_refused(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", classes=3, several=True)
    wrong = msgspec.structs.replace(made.draft, metric="accuracy")
    with pytest.raises(UsageError, match="metric micro_f1 or macro_f1 or mean_average_precision"):
        wrong.check("x", 0)
    names = tuple(map(str, range(65_537)))
    identity = msgspec.structs.replace(made.identity, label_names=names)
    with pytest.raises(MalformedError, match="1 to 65536 distinct label names"):
        identity.check("x")


def test_a_list_of_labels_that_is_shorter_than_it_says_is_refused() -> None:
    """The number of items in the batch's header, which is never believed."""
    from tests.numpy_caches import examples, several_labels

    made = several_labels(examples(7), 5)
    data = made.to_bytes()
    said = np.array([35, 0], "<i8").tobytes()  # 7 rows of 5: how many items, how many nulls
    assert data.count(said) >= 1
    for items in (34, 0, 2**40, -1):
        bad = data.replace(said, np.array([items, 0], "<i8").tobytes())
        with pytest.raises(MalformedError, match="^x: expected"):
            type(made).from_bytes(bad, 7, MULTI_LABEL, "x", 5)
