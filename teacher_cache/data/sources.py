"""The values that every reader of data returns: one table of named columns per split.

A folder or file (`folders`, `files`), the Hub (`hub`) and an object of `datasets` (`objects`) all
give a `Source`; from then on nothing depends on where the rows are from.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mixkd.shared.errors import DataError, MixkdError
from mixkd.shared.models.quietly import first_line

About = dict[str, str | int | float | bool]
VALIDATIONS = ("validation", "dev", "valid")


@contextmanager
def readable(where: object, *, expected: str, do: str) -> Iterator[None]:
    """Turn whatever a library or the system raises in the block into an error about this place.

    What decodes files and columns meets broken ones with exceptions of every kind.
    """
    try:
        yield
    except MixkdError:
        raise
    except Exception as error:
        raise DataError(where, expected=expected, found=first_line(error), do=do) from error


@dataclass(frozen=True, slots=True)
class Table:
    """One split as it was read.

    Attributes:
        where: The file, or the name of data set and split, for messages.
        columns: Name -> values, all of the same number of rows. They may be decoded only when a
            slice of them is taken: columns that nobody chooses may hold anything.
    """

    where: str
    columns: dict[str, Sequence[object]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str, option: str) -> Sequence[object]:
        """Return a column's values.

        Raises:
            DataError: If it is missing, naming the existing ones and the option that chooses; if
                its values cannot be decoded.
        """
        if name not in self.columns:
            raise DataError(
                self.where,
                expected=f"a column {name!r}",
                found=f"the columns {self.listed}",
                do=f"name the right one with {option}",
            )
        with readable(
            f"{self.where}, column {name}",
            expected="values that can be decoded",
            do=f"correct or remove them, or name a different column with {option}",
        ):
            return self.columns[name][:]

    @property
    def listed(self) -> str:
        """The columns' names, for messages."""
        return ", ".join(self.columns) or "of an empty table"


@dataclass(frozen=True, slots=True)
class Source:
    """What was read, before anything is chosen from it.

    Attributes:
        tables: Split name -> table; `train` first, no validation where the source has none.
        label_names: As the source itself gives them, or empty.
        about: Where it is from: names, Hub id and revision, licence; never a local path.
        published: Whether others wrote it. Their pairs may lack a side (QQP has questions without
            text): to drop such rows would change the benchmark, and a model can read them.
    """

    tables: dict[str, Table]
    label_names: tuple[str, ...] = ()
    about: About = field(default_factory=dict)
    published: bool = False


def validation_splits(existing: Container[str], wanted: tuple[str, ...]) -> list[str]:
    """Choose the task's validation splits that exist, else the first one under a usual name."""
    own = [name for name in wanted if name in existing]
    return own or [name for name in VALIDATIONS if name in existing][:1]
