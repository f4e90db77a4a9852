"""Choose a data set's splits by name, and say which ones are used and which are not.

What reads data is told `Wanted`, some to train and some to validate on, or `OneSplit`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from mixkd.shared.errors import DataError

log = logging.getLogger(__name__)
TRAIN_OPTION, VALIDATION_OPTION, SPLIT_OPTION = "--train-split", "--validation-split", "--split"
VALIDATIONS = ("validation", "dev", "valid", "val")
TESTS = ("test", "testing", "eval", "evaluation")
NAME_LIMIT_CHARACTERS = 41  # of a split in a cache


class Splits(Protocol):
    """Which splits are asked for."""

    @property
    def named(self) -> tuple[str, ...]:
        """Those that are asked for by name."""

    def choose(self, where: object, existing: Collection[str] | None) -> dict[str, str]:
        """Choose from the splits that exist; None are data of one table, such as a file.

        Returns:
            Name in a cache -> the data's name; `train` is the one table's.

        Raises:
            DataError: If a split is missing, naming the existing ones and the option.
        """


@dataclass(frozen=True, slots=True)
class Wanted:
    """Asks for a split to train on, and for those to validate on.

    Attributes:
        train: The split to train on; None is `train`.
        validation: Those to validate on; empty takes the usual ones.
        usual: The task's own validation splits, tried before the common names.
    """

    train: str | None = None
    validation: tuple[str, ...] = ()
    usual: tuple[str, ...] = ("validation",)

    @property
    def named(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.train, *self.validation)))

    def choose(self, where: object, existing: Collection[str] | None) -> dict[str, str]:
        """Choose `train` first, and log what is used and what is left out."""
        train = self.train or "train"
        if existing is None:
            existing = ("train",)
            if not self.named:
                return {"train": train}
        for name, option in (
            (train, TRAIN_OPTION),
            *((name, VALIDATION_OPTION) for name in self.validation),
        ):
            if name not in existing:
                raise DataError(
                    where,
                    expected=f"a split {name}",
                    found=", ".join(existing) or "no split",
                    do=f"choose another one with {option}, or other data",
                )
        validations = self.validation or self._usual(existing, train)
        chosen = {"train": train}
        for name in validations:
            chosen[_name_in_cache(name, chosen)] = name
        used = [*chosen.values()]
        left_out = [name for name in existing if name not in used]
        shown = ", ".join(left_out) or "none"
        log.info("%s: splits used: %s; left out: %s", where, ", ".join(used), shown)
        for name in left_out:
            if name.casefold() in TESTS:
                log.info(
                    "%s: %s is not used, neither to choose a teacher or student nor to score it; "
                    "to validate on it: %s %s",
                    *(where, name, VALIDATION_OPTION, name),
                )
        return chosen

    def _usual(self, existing: Collection[str], train: str) -> list[str]:
        """Find the task's validation splits that exist, else the first one under a common name."""
        others = [name for name in existing if name != train]
        own = [name for name in self.usual if name in others]
        return own or [name for name in VALIDATIONS if name in others][:1]


@dataclass(frozen=True, slots=True)
class OneSplit:
    """Asks for one split: the one that is named, else the first of those that test a model."""

    name: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        return () if self.name is None else (self.name,)

    def choose(self, where: object, existing: Collection[str] | None) -> dict[str, str]:
        """Choose the split; data of one table leave no choice, whatever is named."""
        if existing is None:
            return {"train": "train"}
        usual = self.named or (*TESTS, *VALIDATIONS)
        chosen = next((name for name in usual if name in existing), None)
        if chosen is None:
            raise DataError(
                where,
                expected=f"a split {' or '.join(self.named or (TESTS[0], *VALIDATIONS))}",
                found=", ".join(existing) or "no split",
                do=f"choose one with {SPLIT_OPTION}, or other data",
            )
        left_out = ", ".join(name for name in existing if name != chosen) or "none"
        log.info("%s: split used: %s; left out: %s", where, chosen, left_out)
        return {chosen: chosen}


def _name_in_cache(name: str, taken: Collection[str]) -> str:
    """Spell a split's name as a cache may have it: `[a-z][a-z0-9_]{0,40}`, each once."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
    plain = plain if plain[:1].isalpha() and plain.isascii() else f"split_{plain}".rstrip("_")
    plain = "validation" if plain == "train" else plain[:NAME_LIMIT_CHARACTERS]
    number = 1
    found = plain
    while found in taken:
        number += 1
        found = f"{plain[: NAME_LIMIT_CHARACTERS - 5]}_{number}"
    return found
