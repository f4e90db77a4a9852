"""A build without a teacher: the logits that a model elsewhere gave, in a teacher's place.

No pairs can come of it: mixes are inputs that nobody but that model could answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixkd.shared.arrays import Logits
from mixkd.shared.cache.codecs.base import Columns
from mixkd.shared.cache.header import Identity, TeacherIdentity
from mixkd.shared.cache.records import GIVEN, Made
from mixkd.shared.errors import UsageError
from mixkd.shared.examples import Examples
from mixkd.shared.models.locate import locate
from mixkd.shared.models.tokenizer import load_tokenizer
from mixkd.teacher_cache.data.logits import Float, GivenLogits
from mixkd.teacher_cache.labels import checked_permutation
from mixkd.teacher_cache.scoring import Step

MADE = Made(torch=GIVEN, transformers=GIVEN, device=GIVEN, dtype=GIVEN)


@dataclass(frozen=True, slots=True)
class GivenOrigin:
    """What a build knows of the model elsewhere, and the tokenizer that students read texts with.

    Attributes:
        name: For messages.
        about: For people; no local path.
    """

    name: str
    its_tokenizer: Any
    about: dict[str, str]

    @classmethod
    def of(cls, columns: str, tokenizer: str | None, in_memory: Any = None) -> GivenOrigin:
        """Load the tokenizer by name, unless there is one in memory.

        Args:
            columns: Those of the logits, for messages.
            tokenizer: Hub id or folder.

        Raises:
            UsageError: If there is neither.
            ModelError: If it cannot be loaded.
        """
        about = {"teacher": f"logits given in {columns}"}
        if in_memory is None:
            if tokenizer is None:
                raise UsageError(
                    "--tokenizer",
                    expected="the tokenizer that students will read the texts with",
                    found="none",
                    do="name the student's: a Hub id such as distilbert-base-uncased, or a folder",
                )
            checkpoint = locate(tokenizer, weights=False)
            in_memory = load_tokenizer(checkpoint)
            for name, value in checkpoint.about.items():
                about[name.replace("teacher", "tokenizer")] = value
        return cls(f"the logits of {columns}", in_memory, about)

    def config(self) -> dict[str, Any]:
        """Return what is known of the model's configuration: nothing."""
        return {}

    def tokenizer(self) -> Any:
        """Return the tokenizer."""
        return self.its_tokenizer

    def identify(
        self, given: GivenLogits, problem_type: str, classes: int, labels: Sequence[int] | None
    ) -> tuple[TeacherIdentity, GivenScorer]:
        """Return the identity of what was given, and what looks it up.

        Args:
            labels: For each class, which number of a row is its; None takes them in order.

        Raises:
            UsageError: If these are not each of 0 to C - 1 once.
        """
        columns = checked_permutation(range(classes) if labels is None else labels, classes)
        as_logits = given.as_logits(problem_type)
        logits = {name: rows[:, list(columns)] for name, rows in as_logits.items()}
        sha256 = given_sha256(given)
        identity = TeacherIdentity(source="logits", sha256=sha256, columns=columns)
        return identity, GivenScorer(logits)


@dataclass(frozen=True, slots=True)
class GivenScorer:
    """Looks the logits up: `LogitsOfRows` of originals.

    Attributes:
        logits: Split name -> float64 [n, C], in the cache's order of classes.
    """

    logits: Mapping[str, Float]

    @property
    def made(self) -> Made:
        return MADE

    def rows(
        self, identity: Identity, examples: dict[str, Examples], keys: Columns, step: Step
    ) -> Logits:
        """Return the logits of original rows, float32 [rows, C]."""
        found = np.empty((len(keys["example"]), identity.classes), np.float32)  # [rows, C]
        for number, split in enumerate(identity.splits):
            here = keys["split"] == number  # [rows]
            found[here] = self.logits[split.name][keys["example"][here]]
        step(len(found))
        return found


def given_sha256(given: GivenLogits) -> str:
    """Digest what was given, the identity of a teacher that is not here.

    The kind; then per split, in order: its name, the uint64 number of rows and of numbers in a row,
    and the rows as float64. Kind and names are framed by their length as uint32.
    """
    digest = hashlib.sha256(_framed(given.kind))
    for name, rows in given.values.items():
        digest.update(_framed(name) + np.array(rows.shape, "<u8").tobytes())
        digest.update(np.ascontiguousarray(rows, "<f8").tobytes())
    return digest.hexdigest()


def _framed(text: str) -> bytes:
    return len(text.encode()).to_bytes(4, "little") + text.encode()
