"""`transformers` and its relatives: kept quiet, and their errors turned into named ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mixkd.shared.errors import MixkdError, printable

PROPOSAL = "use an encoder such as BERT, RoBERTa, MPNet or DeBERTa"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and reports of missing weights: what matters is reported by mixkd."""
    import transformers

    library: Any = transformers.utils.logging
    verbosity, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        if bars:
            library.enable_progress_bar()


@contextmanager
def named_errors(
    kind: type[MixkdError], where: object, *, expected: str, do: str
) -> Iterator[None]:
    """Run what loads files quietly; turn whatever it raises into an error of this kind.

    `transformers` meets a broken or hostile folder with exceptions of every kind.
    """
    try:
        with quiet():
            yield
    except (MixkdError, MemoryError):
        raise
    except BaseException as error:
        # Rust code panics with a class of its own, which is not an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise kind(where, expected=expected, found=first_line(error), do=do) from error


def first_line(error: BaseException) -> str:
    """Show the class and the first line of an error from a library, short enough for a message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {printable(lines[0])[:200]}"
