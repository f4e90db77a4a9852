"""Opening a run's caches: at the right seals, comparable, and with the proof of their alignment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import CacheError, StateError, printable
from mixkd.student_train.batches import check_same
from mixkd.student_train.evaluate import headline

log = logging.getLogger(__name__)
NAMES_SHOWN = 6


def open_caches(
    roots: Sequence[Path], seals: Sequence[str] | None, checkpoint: Path | None
) -> list[Cache]:
    """Open each cache, at the seals that a resumed run began with, and prove its alignment.

    Raises:
        StateError: If a resumed run's seals are not those of these caches.
        AlignmentError: If stored logits and labels do not give the sealed scores.
    """
    if seals is None:
        caches = [Cache.open(root) for root in roots]
    else:
        caches = _reopened(roots, seals, checkpoint)
    check_same(caches)
    for cache in caches:
        log.info("%s", alignment(cache))
    return caches


def alignment(cache: Cache) -> str:
    """The proof that stored logits belong to stored labels, in one line."""
    joined = cache.check_alignment()
    split = cache.identity.splits[1].name
    name = headline(cache.header.metric, joined[split])
    covered = sum(record.stop - record.start for record in cache.seal.shards)
    labels = cache.identity.label_names
    shown = ", ".join(labels[:NAMES_SHOWN]) + (
        f" and {len(labels) - NAMES_SHOWN} more" if len(labels) > NAMES_SHOWN else ""
    )
    rows = cache.seal.rows.originals + cache.seal.rows.pairs
    return printable(
        f"cache {cache.name} teacher {name} {joined[split][name]:.3f} (joined) = "
        f"{cache.seal.scores[split][name]:.3f} (sealed) · "
        f"{covered:,}/{rows:,} rows · labels {shown or 'numbers'}"
    )


def _reopened(roots: Sequence[Path], seals: Sequence[str], checkpoint: Path | None) -> list[Cache]:
    if len(roots) != len(seals):
        raise _foreign(checkpoint, f"{len(seals)} caches", f"{len(roots)}")
    caches = []
    for root, seal in zip(roots, seals, strict=True):
        Cache.open(root)
        try:
            caches.append(Cache.open(root, pin=seal))
        except CacheError as error:
            found = f"another cache: {error.found}"
            raise _foreign(checkpoint, f"seal {seal[:12]} in {root}", found) from error
    return caches


def _foreign(checkpoint: Path | None, expected: str, found: str) -> StateError:
    return StateError(
        checkpoint,
        expected=f"to continue on {expected}",
        found=found,
        do="resume with the caches it began with, or choose another --out",
    )
