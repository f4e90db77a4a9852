"""The data that a cache was made from, compared with its texts, labels and given logits."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixkd.shared.cache.claims import Finding, Reported, Unchecked
from mixkd.shared.cache.reader import Cache
from mixkd.shared.examples import Examples
from mixkd.teacher_cache.data.load import Data, DataSpec, load
from mixkd.teacher_cache.data.logits import Float, GivenLogits, LogitsSpec
from mixkd.teacher_cache.given import given_sha256

Labelled = tuple[str | None, str | None, Hashable]


def compare_with_data(
    cache: Cache, spec: DataSpec, logits: LogitsSpec | None
) -> Iterator[Reported]:
    """Look for each stored text with its label, and given logits, in the data.

    Whatever part of the data was used: rows are found by their texts.

    Args:
        logits: The columns of given logits; None compares texts and labels alone.

    Raises:
        DataError: If the data cannot be used.
    """
    if any(cache.examples(split).text_a is None for split in cache.splits):
        yield Unchecked("labels", "the cache was built with --no-text")
        if logits:
            yield Unchecked("logits", "the cache was built with --no-text")
            yield Unchecked("teacher", "the cache was built with --no-text")
        return
    data = load(replace(spec, label_names=cache.identity.label_names), logits)
    rows: dict[Labelled, list[int]] = {}
    known = (
        labelled
        for split in data.splits.values()
        for labelled in _labelled(_texts(split.text_a), _texts(split.text_b), split.labels)
    )
    for row, labelled in enumerate(known):
        rows.setdefault(labelled, []).append(row)
    yield from _labels(cache, rows)
    if logits:
        yield from _logits(cache, data, rows)


def _labels(cache: Cache, known: dict[Labelled, list[int]]) -> Iterator[Reported]:
    """Compare labels; a text without one claims none: that it is not in the data is only noted."""
    texts_known = {(text_a, text_b) for text_a, text_b, _ in known}
    for split in cache.splits:
        examples = cache.examples(split)
        stored, has_label = list(_stored(examples)), examples.labelled
        foreign = sum(stored[row][:2] not in texts_known for row in np.flatnonzero(~has_label))
        if foreign:
            why = f"{foreign} unlabelled texts are not in the data; name theirs with --unlabelled"
            yield Unchecked("labels", why, partly=True)
        wrong = [row for row in np.flatnonzero(has_label) if stored[row] not in known]
        if wrong:
            yield Finding(
                "labels",
                f"{cache.root}/examples/{split}.arrow: expected texts and labels of the data, "
                f"found {len(wrong)} others, the first in row {wrong[0]}; do not use this cache, "
                "or name the data that it was made from",
            )


def _logits(cache: Cache, data: Data, known: dict[Labelled, list[int]]) -> Iterator[Reported]:
    """Compare each row's logits with those beside its text, and the digest with that of all."""
    identity, given = cache.identity, data.given
    as_given = np.concatenate(list(given.values.values()))  # [rows of the data, C]
    as_logits = np.concatenate(list(given.as_logits(identity.problem_type).values()))
    logits = as_logits[:, list(identity.teacher.columns)]  # [rows of the data, C]
    in_dtype = logits.astype(np.float32).astype(identity.logits_dtype)  # as a build stores them
    allowed = 2 * float(np.finfo(identity.logits_dtype).eps)  # machines differ in their logarithms
    chosen: dict[str, Float] = {}
    several = False
    for split in cache.splits:
        stored, wrong, rows = cache.logits(split), [], []
        for row, labelled in enumerate(_stored(cache.examples(split))):
            fitting = [
                other
                for other in known.get(labelled, ())
                if _close(stored[row], in_dtype[other], allowed)
            ]
            several |= len({as_given[other].tobytes() for other in fitting}) > 1
            rows += fitting[:1]
            wrong += [row] * (not fitting and labelled in known)
        chosen[split] = as_given[rows]
        if wrong:
            yield Finding(
                "logits",
                f"{cache.root}: expected the logits that the data have beside the texts, found "
                f"others in {len(wrong)} rows of {split}, the first in row {wrong[0]}; do not use "
                "this cache, or name its --logits-column and --logits-kind",
            )
    if any(len(chosen[split.name]) < split.rows for split in identity.splits):
        yield Unchecked("teacher", "what is wrong comes first")
    elif several:
        yield Unchecked("teacher", "rows of the same text have logits that are almost the same")
    elif (sha256 := given_sha256(GivenLogits(given.kind, chosen))) != identity.teacher.sha256:
        yield Finding(
            "teacher",
            f"{cache.root}: expected given {given.kind} of digest {sha256[:12]}, found "
            f"{identity.teacher.sha256[:12]}; name the data and the --logits-kind that it was "
            "made from",
        )


def _close(stored: npt.NDArray[Any], given: npt.NDArray[Any], allowed: float) -> bool:
    distance = np.abs(stored.astype(np.float64) - given)  # [C]
    return bool((distance <= allowed * np.maximum(1, np.abs(given))).all())


def _stored(examples: Examples) -> Iterator[Labelled]:
    return _labelled(_texts(examples.text_a), _texts(examples.text_b), examples.labels)


def _texts(column: pa.Array | pa.ChunkedArray | None) -> list[str] | None:
    return None if column is None else column.to_pylist()


def _labelled(
    text_a: Sequence[str] | None, text_b: Sequence[str] | None, numbers: npt.NDArray[Any]
) -> Iterator[Labelled]:
    absent = [None] * len(numbers)
    labels = numbers.tolist() if numbers.ndim == 1 else [row.tobytes() for row in numbers]
    return zip(text_a or absent, text_b or absent, labels, strict=True)
