"""Opening the caches of a run: at the right seals, comparable, and proved to be aligned."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import MixkdError, StateError, printable
from mixkd.student_train.checkpoints import Checkpoint
from mixkd.student_train.evaluate import headline
from mixkd.student_train.joined import check_same
from mixkd.student_train.results import Metrics

log = logging.getLogger(__name__)
NAMES_SHOWN = 6


def open_caches(roots: Sequence[Path], checkpoint: Checkpoint | None) -> list[Cache]:
    """Open each cache, at the seals that a resumed run began with, and prove its alignment.

    Raises:
        StateError: If a resumed run's seals are not those of these caches.
        DifferentCacheError: If the caches cannot be averaged.
        AlignmentError: If stored logits and labels do not give the sealed scores.
    """
    seals = [None] * len(roots) if checkpoint is None else checkpoint.run.seals
    if len(roots) != len(seals):
        raise _foreign(checkpoint, f"{len(seals)} caches", f"{len(roots)}")
    opened = [_open(root, seal, checkpoint) for root, seal in zip(roots, seals, strict=True)]
    caches = [cache for cache, _ in opened]
    check_same(caches)
    for cache, joined in opened:
        log.info("%s", alignment(cache, joined))
    return caches


def alignment(cache: Cache, joined: Mapping[str, Metrics]) -> str:
    """Report on one line that stored logits belong to stored labels.

    Args:
        joined: Split -> metrics, recomputed from both.
    """
    split = cache.identity.splits[1].name
    name = headline(cache.header.metric, joined[split])
    covered = sum(record.stop - record.start for record in cache.seal.shards)
    labels = cache.identity.label_names
    more = f" and {len(labels) - NAMES_SHOWN} more" if len(labels) > NAMES_SHOWN else ""
    shown = ", ".join(labels[:NAMES_SHOWN]) + more
    rows = cache.seal.rows.originals + cache.seal.rows.pairs
    return printable(
        f"cache {cache.name} teacher {name} {joined[split][name]:.3f} (joined) = "
        f"{cache.seal.scores[split][name]:.3f} (sealed) · "
        f"{covered:,}/{rows:,} rows · labels {shown or 'numbers'}"
    )


def _open(
    root: Path, seal: str | None, checkpoint: Checkpoint | None
) -> tuple[Cache, dict[str, Metrics]]:
    """Open a cache; a failure to open it at the seal of a resumed run is that run's."""
    cache = Cache.open(root)
    try:
        cache = cache if seal is None else Cache.open(root, pin=seal)
    except MixkdError as error:
        found = f"a different cache: {error.found}"
        raise _foreign(checkpoint, f"seal {str(seal)[:12]} in {root}", found) from error
    return cache, cache.check_alignment()


def _foreign(checkpoint: Checkpoint | None, expected: str, found: str) -> StateError:
    return StateError(
        checkpoint and checkpoint.folder,
        expected=f"to continue on {expected}",
        found=found,
        do="resume with the caches it began with, or choose another --out",
    )
