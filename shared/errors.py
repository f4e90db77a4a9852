"""One tree of errors; a message names the place, what was expected and found, and what to do."""

import re

SHOWN_LIMIT = 1000
# What stands before an @ and holds an address, and in it the user and the password: two patterns,
# each of which looks at a character a few times only. A Path has lost one of the two slashes.
BEFORE_AT = re.compile(r"(?<![^\s@])(?=[^\s@]*:/)[^\s@]++(?=@)")
CREDENTIALS = re.compile(r"(?<=[A-Za-z0-9+.-]{2}:/)(/?)[^/:]*+(?::.*)?\Z", re.DOTALL)


def printable(value: object) -> str:
    """Show `value` on one line, with control characters and terminal escapes made visible.

    Addresses lose their user name and password: messages end up in logs.
    """
    text = str(value)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return BEFORE_AT.sub(lambda found: CREDENTIALS.sub(r"\1***", found[0]), text)


def short(text: str) -> str:
    """Cut a long text: a hostile file may name thousands of things that are wrong."""
    return text if len(text) <= SHOWN_LIMIT else f"{text[: SHOWN_LIMIT - 1]}…"


class MixkdError(Exception):
    """The root of every failure that a user can meet; its text is one line of bounded length.

    Args:
        where: The file, option or object that the message is about.
        expected: What should have been there.
        found: What was there.
        do: The next step, as an instruction.
    """

    exit_code = 1

    def __init__(self, where: object, *, expected: object, found: object, do: str) -> None:
        self.where, self.expected, self.found, self.do = map(
            printable, (where, expected, found, do)
        )
        expected, found = short(self.expected), short(self.found)
        super().__init__(f"{self.where}: expected {expected}, found {found}; {self.do}")

    def __reduce__(self) -> tuple[object, ...]:
        """Let an error pass between processes, which fail together."""
        return _again, (type(self), self.where, self.expected, self.found, self.do)


def _again(kind: type[MixkdError], where: str, expected: str, found: str, do: str) -> MixkdError:
    return kind(where, expected=expected, found=found, do=do)


class UsageError(MixkdError):
    """An option or a combination of options that makes no sense."""

    exit_code = 2


class DataError(MixkdError):
    """A data set that cannot be used: columns, labels, texts, splits."""


class ModelError(MixkdError):
    """A teacher or a student that cannot be used."""


class PaddingDependentError(ModelError):
    """Logits depend on padding, or embeddings do not stand for ids."""


class UntrainedHeadError(ModelError):
    """The classifier's weights are missing or have a different shape: they would be random."""


class LabelOrderError(ModelError):
    """Another number, order or kind of labels than the cache or the data have."""


class WeakTeacherError(ModelError):
    """The teacher's validation score is below what was asked for."""


class LogitsError(MixkdError):
    """NaN or infinite logits, or logits of an unexpected shape."""


class DeviceError(MixkdError):
    """A device that cannot compute."""


class DeviceMemoryError(DeviceError):
    """The device ran out of memory."""


class BuilderError(MixkdError):
    """Builder processes that died again and again, without a named failure."""


class OutputError(MixkdError):
    """An output that cannot be written, or that holds something else already."""


class DiskError(MixkdError):
    """The disk refused or lost a write."""


class DifferentCacheError(MixkdError):
    """The output holds a cache of a different identity."""


class MissingFileError(MixkdError):
    """A file that the cache must have does not exist."""


class DamagedFileError(MixkdError):
    """A file's size or digest is not the recorded one."""


class MalformedError(MixkdError):
    """A file whose content does not follow the format."""


def malformed_table(where: object, expected: str, found: object) -> MalformedError:
    """Return the error about an Arrow or HDF5 file whose content does not follow the format."""
    return MalformedError(
        where,
        expected=expected,
        found=found,
        do="do not use this file; build the shard again",
    )


class UnsafeFileError(MalformedError):
    """A file of a kind or shape that a reader must not open: links, bombs, foreign code."""


class VersionError(MixkdError):
    """A cache of a format that this version does not read."""


class UnsealedError(MixkdError):
    """A cache without a seal, or one that is not complete enough to be sealed."""


class AlignmentError(MixkdError):
    """Stored logits, joined with stored labels, do not give the sealed scores."""


class StateError(MixkdError):
    """A training state that does not belong to this cache or run."""
