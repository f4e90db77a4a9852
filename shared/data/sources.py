"""The values that every reader of data returns: one table of named columns per split.

A folder or file (`folders`, `files`), the Hub (`hub`) and an object of `datasets` (`objects`) all
give a `Source`; from then on nothing depends on where the rows are from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, overload

from mixkd.shared.errors import DataError, MixkdError
from mixkd.shared.models.quietly import first_line

if TYPE_CHECKING:
    import pyarrow as pa

    # Arrow where all values are of one type, else the values as Python has them.
    Chunk: TypeAlias = pa.Array | list[object]

About = dict[str, str | int | float | bool]
Row = dict[str, object]
SHOWN = 20  # columns in a message
SLICE_ROWS = 1024  # that are Python's values at a time


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


class Column(Sequence[object]):
    """One column's values, in chunks that are decoded when they are first asked for.

    As a sequence it gives Python's values, equal strings as one object: right for labels. Texts
    are read from `chunks`, so that they stay in Arrow's buffers. An iteration reads a chunk at a
    time, and makes a slice of it Python's.
    """

    def __init__(self, rows: int, read: Callable[[], Iterable[Chunk]]) -> None:
        self._rows = rows
        self._read = read

    def __len__(self) -> int:
        return self._rows

    def chunks(self) -> list[Chunk]:
        """Decode the column; what that raises for a broken one depends on its library."""
        return list(self._counted())

    def _counted(self) -> Iterator[Chunk]:
        count = 0
        for chunk in self._read():
            count += len(chunk)
            yield chunk
        if count != len(self):
            raise ValueError(f"{count} values in {len(self)} rows")

    def __iter__(self) -> Iterator[object]:
        for chunk in self._counted():
            for first in range(0, len(chunk), SLICE_ROWS):
                yield from python_values(chunk[first : first + SLICE_ROWS])

    @cached_property
    def _values(self) -> list[object]:
        return [value for chunk in self.chunks() for value in python_values(chunk)]

    @overload
    def __getitem__(self, rows: int) -> object: ...

    @overload
    def __getitem__(self, rows: slice) -> Sequence[object]: ...

    def __getitem__(self, rows: int | slice) -> object:
        return self._values[rows]


def python_values(chunk: Chunk) -> list[object]:
    """Return a chunk's values as Python's, equal strings as one object."""
    import pyarrow as pa

    if isinstance(chunk, list):
        return chunk
    if not (pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type)):
        values: list[object] = chunk.to_pylist()
        return values
    encoded = chunk.dictionary_encode()
    names = [*encoded.dictionary.to_pylist(), None]
    return [names[number] for number in encoded.indices.fill_null(len(names) - 1).to_pylist()]


@dataclass(frozen=True, slots=True)
class Table:
    """One split as it was read.

    Attributes:
        where: The file, or the name of data set and split, for messages.
        columns: Name -> values, all of the same number of rows. They may be decoded only when they
            are asked for: columns that nobody chooses may hold anything.
        class_names: Name of a column of class numbers -> the classes' names, where the source has
            them (`datasets.ClassLabel`).
    """

    where: str
    columns: Mapping[str, Column]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str, option: str) -> Sequence[object]:
        """Return a column's values.

        Raises:
            DataError: If it is missing, naming the existing ones and the option that chooses; if
                its values cannot be decoded.
        """
        self.check_has(name, option)
        with self._decoding(name, option):
            return self.columns[name][:]

    def chunks(self, name: str, option: str) -> list[Chunk]:
        """Return a column's values in chunks of Arrow, as far as they are of one type.

        Raises:
            DataError: As `column` does.
        """
        self.check_has(name, option)
        with self._decoding(name, option):
            return self.columns[name].chunks()

    def rows(self) -> Iterator[Row]:
        """Give the rows one after the other.

        Raises:
            DataError: If a column's values cannot be decoded.
        """
        for row in zip(*map(self._values, self.columns), strict=True):
            yield dict(zip(self.columns, row, strict=True))

    def _values(self, name: str) -> Iterator[object]:
        where = f"{self.where}, column {name}"
        do = "correct or remove them"
        with readable(where, expected="values that can be decoded", do=do):
            yield from self.columns[name]

    def check_has_rows(self) -> None:
        """Refuse an empty table.

        Raises:
            DataError: Naming it.
        """
        if not len(self):
            raise DataError(
                self.where, expected="at least one row", found="none", do="add rows or remove it"
            )

    def check_has(self, name: str, option: str) -> None:
        """Refuse a missing column.

        Raises:
            DataError: Naming the existing ones and the option that chooses.
        """
        if name not in self.columns:
            raise DataError(
                self.where,
                expected=f"a column {name!r}",
                found=f"the columns {self.listed}",
                do=f"name the right one with {option}",
            )

    @contextmanager
    def _decoding(self, name: str, option: str) -> Iterator[None]:
        with readable(
            f"{self.where}, column {name}",
            expected="values that can be decoded",
            do=f"correct or remove them, or name a different column with {option}",
        ):
            yield

    @property
    def listed(self) -> str:
        """The columns' names, for messages."""
        shown = ", ".join(islice(self.columns, SHOWN)) or "of an empty table"
        return f"{shown}, …" if len(self.columns) > SHOWN else shown


@dataclass(frozen=True, slots=True)
class Source:
    """What was read, before anything is chosen from it.

    Attributes:
        tables: Split name -> table; `train` first, no validation where the source has none.
        label_names: As a file beside the rows lists them, or empty.
        about: Where it is from: names, Hub id and revision, licence; never a local path.
        published: Whether others wrote it. Their pairs may lack a side (QQP has questions without
            text): to drop such rows would change the benchmark, and a model can read them.
    """

    tables: dict[str, Table]
    label_names: tuple[str, ...] = ()
    about: About = field(default_factory=dict)
    published: bool = False
