"""Which shard a builder computes next, so that builders of one cache share the work without locks.

A lone builder takes the shards in order. One of several that a launcher numbered takes every n-th,
so that what they have done together stays a prefix, which can be sealed. Nothing is assumed about
the others: whoever meets one goes on at a place chosen by chance, and the disk is looked at again
until no shard is missing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from mixkd.shared.arrays import RowRange
from mixkd.shared.cache.codecs.base import KINDS, KindName
from mixkd.shared.cache.committer import Committer
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.progress import Progress


class Shard(NamedTuple):
    """A shard that is missing, and its number among all shards of the cache."""

    kind: KindName
    rows: RowRange
    number: int


class Place(NamedTuple):
    """Which one of how many builders this is, as far as a launcher told it."""

    rank: int = 0
    builders: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """Read what `torchrun` and `--devices` set; else this builder is taken to be alone."""
        rank, builders = environment.get("LOCAL_RANK"), environment.get("LOCAL_WORLD_SIZE")
        if not (rank and builders and rank.isdecimal() and builders.isdecimal()):
            return cls()
        return cls(int(rank), int(builders)) if int(rank) < int(builders) else cls()


class OvertakenError(Exception):
    """Another builder committed the shard at hand, or the one before it."""


class Walk:
    """Gives the shards that are missing until none is.

    Attributes:
        rows_abandoned: Rows computed of shards that were given up for another builder's.
    """

    def __init__(
        self,
        writer: CacheWriter,
        wanted: Mapping[KindName, int],
        committer: Committer,
        progress: Progress,
    ) -> None:
        """Walk over the gaps below the `wanted` number of rows of each kind."""
        self.rows_abandoned = 0
        self._writer = writer
        self._wanted = wanted
        self._committer = committer
        self._progress = progress
        self._place = Place.of(os.environ)
        self._chance = np.random.default_rng()  # decides who computes what, and no byte
        self._met_others = committer.rows_lost > 0
        self._shard_rows_done = 0
        self._rows_lost = 0

    def __iter__(self) -> Iterator[Shard]:
        while missing := self._missing():
            rows_missing = sum(shard.rows[1] - shard.rows[0] for shard in missing)
            self._progress.at(sum(self._wanted.values()) - rows_missing)
            for shard in self._ordered(missing):
                if self._is_committed(shard):
                    self._met_others = True
                    break
                self._at, self._shard_rows_done = shard, 0
                self._rows_lost = self._committer.rows_lost
                abandoned = self.rows_abandoned
                yield shard
                if self._committer.rows_lost > self._rows_lost or self.rows_abandoned > abandoned:
                    self._met_others = True
                    break
            self._committer.wait()
            self._met_others |= self._committer.rows_lost > 0
            self._writer.refresh()

    def scored(self, rows: int) -> None:
        """Note that so many rows more of the last shard given were computed.

        Raises:
            OvertakenError: If another builder has made this shard superfluous.
        """
        self._progress(rows)
        self._shard_rows_done += rows
        # Builders in lockstep lose one shard while they compute the next one, both of them.
        if self._committer.rows_lost > self._rows_lost or self._is_committed(self._at):
            self.rows_abandoned += self._shard_rows_done
            raise OvertakenError

    def _missing(self) -> list[Shard]:
        shard_rows, missing, first = self._writer.header.shard_rows, [], 0
        for kind in KINDS:
            wanted = self._wanted[kind]
            gaps = self._writer.gaps(kind, wanted)
            missing += [Shard(kind, rows, first + rows[0] // shard_rows) for rows in gaps]
            first += -(-wanted // shard_rows)
        return missing

    def _ordered(self, missing: list[Shard]) -> list[Shard]:
        if not self._met_others:
            rank, builders = self._place
            return sorted(missing, key=lambda shard: (shard.number - rank) % builders > 0)
        # Whoever walks in order is probably at the first shard of a run of missing ones.
        later = [
            place
            for place, (one, other) in enumerate(itertools.pairwise(missing), 1)
            if other.number == one.number + 1
        ]
        start = self._chance.choice(later or range(len(missing)))
        return missing[start:] + missing[:start]

    def _is_committed(self, shard: Shard) -> bool:
        return self._writer.is_committed(shard.kind, shard.rows[0])
