"""What a cache claims, which look at it checks which claim, and how a look is reported."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Claim = Literal[
    "files",
    "rows",
    "plan",
    "ids",
    "texts",
    "scores",
    "logits",
    "dtype",
    "teacher",
    "label_order",
    "tokenizer",
    "starts",
    "labels",
    "about",
    "card",
]
Level = Literal["open", "train-student", "verify", "--deep", "--teacher", "--data"]
LEVELS: tuple[Level, ...] = get_args(Level)
# "part": of what is claimed. "sample": of the rows, all where they are few. "note": no failure.
Extent = Literal["all", "part", "sample", "note"]


@dataclass(frozen=True, slots=True)
class Promise:
    """What a claim says, and how far each level checks it.

    Attributes:
        checks: Level -> how much of it; an option of `verify` adds to what `verify` checks.
    """

    says: str
    checks: dict[Level, Extent]


CLAIMS: dict[Claim, Promise] = {
    "files": Promise(
        "files follow the format and have the sealed digests; tokenizer and starts hold no others",
        {"open": "part", "train-student": "part", "verify": "all"},
    ),
    "rows": Promise(
        "every row that is counted exists, in order; values are in range",
        {"open": "part", "train-student": "part", "verify": "all"},
    ),
    "plan": Promise("seed and beta give the pairs", {"verify": "sample", "--deep": "all"}),
    "ids": Promise("texts, ids and labels have the identity's digests", {"verify": "all"}),
    "texts": Promise(
        "the cache's tokenizer makes the ids of the texts",
        {"train-student": "sample", "verify": "sample", "--deep": "all"},
    ),
    "scores": Promise(
        "logits joined with labels give the sealed scores; the metric is one of them",
        {"open": "part", "train-student": "all", "verify": "all"},
    ),
    "logits": Promise(
        "the teacher gives the logits for the ids; given ones are those beside the texts",
        {"--teacher": "sample", "--data": "all"},
    ),
    "dtype": Promise(
        "the logits were computed in the recorded number format",
        {"verify": "part", "--teacher": "sample"},
    ),
    "teacher": Promise(
        "the teacher, or what was given in its place, has this digest",
        {"--teacher": "all", "--data": "all"},
    ),
    "label_order": Promise(
        "the teacher names its labels in the order of the columns", {"--teacher": "all"}
    ),
    "tokenizer": Promise("the tokenizer is the teacher's", {"--teacher": "all"}),
    "starts": Promise(
        "each start is the layers of the teacher that its name says", {"--teacher": "all"}
    ),
    "labels": Promise("each text has this label in the data", {"--data": "all"}),
    "about": Promise(
        "the teacher's name, revision and number format are those described", {"--teacher": "note"}
    ),
    "card": Promise("README.md and rows/ say what the cache says", {"verify": "note"}),
}

PLAIN = frozenset(claim for claim, promise in CLAIMS.items() if "verify" in promise.checks)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or (`harmless`) only worth a note."""

    claim: Claim
    message: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Unchecked:
    """What was not looked at, and why or what would; `partly` if some of it was."""

    claim: Claim
    why: str
    partly: bool = False

    def __str__(self) -> str:
        return f"{CLAIMS[self.claim].says} ({self.why})"


Reported = Finding | Unchecked


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at a cache found, and what it did not look at.

    Attributes:
        checked: Claims that were compared with something, wholly or in part.
        unchecked: Claims, or parts of them, that were not; a claim may be in both.
    """

    findings: tuple[Finding, ...]
    checked: tuple[Claim, ...]
    unchecked: tuple[Unchecked, ...]

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings that are not harmless."""
        return tuple(finding for finding in self.findings if not finding.harmless)

    @classmethod
    def of(
        cls, reported: Iterable[Reported], asked: Collection[Level], done: Collection[Level]
    ) -> Verified:
        """Put together what the checks reported.

        Args:
            asked: The levels that were asked for.
            done: Those of them that could be done.
        """
        reported = list(reported)
        findings = [item for item in reported if isinstance(item, Finding)]
        unchecked = {item.claim: item for item in reported if isinstance(item, Unchecked)}
        for claim, promise in CLAIMS.items():
            extents = {extent for level, extent in promise.checks.items() if level in done}
            if extents <= {"part"}:
                missing = Unchecked(claim, _missing(claim, asked), partly=bool(extents))
                unchecked.setdefault(claim, missing)
        skipped = {claim for claim, item in unchecked.items() if not item.partly}
        skipped -= {finding.claim for finding in findings}
        return cls(
            findings=tuple(findings),
            checked=tuple(claim for claim in CLAIMS if claim not in skipped),
            unchecked=tuple(unchecked[claim] for claim in CLAIMS if claim in unchecked),
        )


def claims_of(level: Level) -> Iterator[Claim]:
    """Give the claims that this level looks at and plain `verify` does not."""
    return (c for c, promise in CLAIMS.items() if level in promise.checks and c not in PLAIN)


def _missing(claim: Claim, asked: Collection[Level]) -> str:
    """Say why a claim was not looked at: an option was not given, or something came first."""
    options = [level for level in CLAIMS[claim].checks if level.startswith("--")]
    if not options or set(options) & set(asked):
        return "what is wrong comes first"
    return f"needs {options[0]}"
