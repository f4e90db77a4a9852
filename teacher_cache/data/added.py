"""Append rows to train: texts that come from its rows, then texts without labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mixkd.shared.data.objects import check_object
from mixkd.shared.data.sources import About, Source
from mixkd.shared.options import check
from mixkd.teacher_cache.data import augmented, unlabelled
from mixkd.teacher_cache.data.augmented import Originals, read_augmented
from mixkd.teacher_cache.data.splits import TextSplit
from mixkd.teacher_cache.data.unlabelled import REST, joined, read_unlabelled, without_leaks

if TYPE_CHECKING:
    from mixkd.shared.data.objects import AnyData
    from mixkd.teacher_cache.data.load import DataSpec


def check_added(spec: DataSpec) -> None:
    """Check the options that add rows.

    Raises:
        UsageError: Naming the option.
    """
    options = ((unlabelled.OPTION, spec.unlabelled), (augmented.OPTION, spec.augmented))
    for option, given in options:
        listed, kind = isinstance(given, tuple | list), type(given).__name__
        check(option, kind, listed, "a tuple of places", "put it into a tuple: (place,)")
    for place in spec.unlabelled:
        if not isinstance(place, str | Path):
            check_object(place)
    part = not _names_rest(spec) or spec.subset < 1
    tenth = "say which part keeps its labels: --subset 0.1"
    check(unlabelled.OPTION, REST, part, f"--subset below 1 beside {REST}", tenth)
    sources = spec.id_column is None or bool(spec.augmented)
    needed = f"{augmented.OPTION} beside it"
    check(augmented.ID_OPTION, spec.id_column, sources, needed, "leave it out")


def add_to_train(
    spec: DataSpec,
    splits: dict[str, TextSplit],
    originals: Originals,
    rest: TextSplit,
    read: Callable[[AnyData], Source],
) -> About:
    """Append the rows that the options name to the train split.

    Args:
        rest: What --subset leaves out.
        read: Reads what `--data` takes.

    Returns:
        How many rows are augmented and unlabelled, where the options name such.

    Raises:
        DataError: If a place has no such rows, naming the first that is wrong.
    """
    places = [place for place in spec.unlabelled if not _is_rest(place)]
    added = {
        augmented.OPTION: [read_augmented(file, originals) for file in spec.augmented],
        unlabelled.OPTION: [
            *([unlabelled.unlabelled(rest)] if _names_rest(spec) else []),
            *read_unlabelled(places, read, originals.columns, originals.labels),
        ],
    }
    about: About = {}
    for option, parts in added.items():
        if parts:
            rows = without_leaks(joined(parts), splits, option)
            splits["train"] = joined([splits["train"], rows])
            about[option.removeprefix("--")] = len(rows)
    return about


def _names_rest(spec: DataSpec) -> bool:
    return any(map(_is_rest, spec.unlabelled))


def _is_rest(place: object) -> bool:
    return isinstance(place, str) and place == REST
