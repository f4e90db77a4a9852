"""Choose a data set's splits by name, and say which ones are used and which are not."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass

from mixkd.shared.errors import DataError

log = logging.getLogger(__name__)
TRAIN_OPTION, VALIDATION_OPTION = "--train-split", "--validation-split"
VALIDATIONS = ("validation", "dev", "valid", "val")
TESTS = ("test", "testing", "eval", "evaluation")
NAME_LIMIT_CHARACTERS = 41  # of a split in a cache


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which splits are asked for.

    Attributes:
        train: The split to train on; None is `train`.
        validation: Those to validate on; empty takes the usual ones.
        usual: The task's own validation splits, tried before the common names.
    """

    train: str | None = None
    validation: tuple[str, ...] = ()
    usual: tuple[str, ...] = ("validation",)

    def choose(self, where: object, existing: Collection[str]) -> dict[str, str]:
        """Choose from the splits that exist, and log what is used and what is left out.

        Returns:
            Name in a cache -> the data's name, `train` first.

        Raises:
            DataError: If a split is missing, naming the existing ones and the option.
        """
        train = self.train or "train"
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
