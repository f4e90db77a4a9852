"""The one place where tests put a cache's identity, header and build together.

    made = job(root, {"train": ..., "validation": ...}, label_names=("no", "yes"), pairs=40)
    build_sealed(made, score)

Torch-free. Who calls it brings examples and a teacher: `tests/numpy_caches.py` synthetic ones and a
formula, `tests/goldens/make.py` those of the golden caches, `tests/student_train/caches.py` text
and a real tiny model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixkd.shared.arrays import Logits
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import Draft, Identity, Mixup, Split, TeacherIdentity
from mixkd.shared.cache.kept import KeptColumn, kept_columns
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Made
from mixkd.shared.cache.seal import Seal
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.examples import Examples
from mixkd.shared.metrics import CLASSIFICATION, HEADLINES, REGRESSION
from mixkd.shared.mixup import MixBatch
from mixkd.shared.progress import ShowProgress, progress
from mixkd.teacher_cache import build as product
from mixkd.teacher_cache.build import Built, Target
from mixkd.teacher_cache.scoring import Scorer

FORMATS = ("arrow", "hdf5")
SHARD_ROWS = 16
FILES = {
    "tokenizer/tokenizer.json": b"{}\n",
    "student_init/layers-0/config.json": b"{}\n",
}
NO_TORCH = Made(torch="none", transformers="none", device="cpu", dtype="float32")
MIXUP = {
    "site": "input_embeddings",
    "beta": 0.4,
    "mask": "union",
    "seed": 0,
    "partners": "random",
    "plan": 1,
}
TEACHER = {"teacher_sha256": "sha256", "teacher_columns": "columns"}
Score = Callable[[MixBatch], Logits]
Accept = Callable[[dict[str, Logits]], None]


@dataclass
class Job:
    """A build in a test: the target, and what a new cache gets of its teacher."""

    root: Path
    draft: Draft
    examples: dict[str, Examples]
    files: dict[str, bytes]
    pairs: int
    batch_tokens: int
    pad_id: int
    made: Made

    @property
    def identity(self) -> Identity:
        return self.draft.identity

    @property
    def target(self) -> Target:
        return Target(self.root, self.draft, self.examples, self.pairs)

    def scorer(self, score: Score) -> Scorer:
        return Scorer(score, self.pad_id, self.batch_tokens, self.made)


def identity(examples: Mapping[str, Examples], classes: int = 2, **changes: Any) -> Identity:
    """The identity of these splits; `changes` are fields of it, of its mixup or its teacher.

    One class: regression.
    """
    mixup = {name: changes.pop(name, value) for name, value in MIXUP.items()}
    teacher = {
        "source": changes.pop("teacher_source", "model"),
        "sha256": changes.pop("teacher_sha256", "1" * 64),
        "columns": changes.pop("teacher_columns", tuple(range(classes))),
    }
    fields: dict[str, Any] = {
        "problem_type": REGRESSION if classes == 1 else CLASSIFICATION,
        "label_names": ("score",) if classes == 1 else tuple(f"class {c}" for c in range(classes)),
        "splits": tuple(split(name, rows) for name, rows in examples.items()),
        "teacher": TeacherIdentity(**teacher),
        "max_length": 12,
        "mixup": Mixup(**mixup),
        "logits_dtype": "float32",
    }
    return Identity(**{**fields, **changes})


def split(name: str, rows: Examples) -> Split:
    """A split as the identity has it; the examples still have their texts."""
    texts_sha256 = rows.texts_sha256()
    if texts_sha256 is None:
        raise ValueError(f"{name}: expected examples with texts")
    return Split(
        name=name,
        rows=len(rows),
        labelled=int(rows.labelled.sum()),
        texts_sha256=texts_sha256,
        ids_sha256=rows.ids_sha256(),
    )


def draft(
    identity: Identity,
    *,
    shard_rows: int = SHARD_ROWS,
    shard_format: Any = "arrow",
    metric: str | None = None,
    about: Mapping[str, Any] | None = None,
    columns: Sequence[KeptColumn] = (),
) -> Draft:
    """What `cache.json` will say; without `metric`, the usual one of the problem type."""
    return Draft(
        identity=identity,
        shard_rows=shard_rows,
        shard_format=shard_format,
        metric=metric or HEADLINES[identity.problem_type],
        about=dict(about or {"task": "synthetic"}),
        columns=tuple(columns),
    )


def job(
    root: Path,
    examples: Mapping[str, Examples],
    *,
    classes: int = 2,
    pairs: int = 40,
    shard_format: str = "arrow",
    shard_rows: int = SHARD_ROWS,
    metric: str | None = None,
    about: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] = FILES,
    keep_texts: bool = True,
    batch_tokens: int = 64,
    pad_id: int = 0,
    made: Made = NO_TORCH,
    **changes: Any,
) -> Job:
    """A build of these examples, train first.

    Args:
        files: Name -> content of what lies under `tokenizer/` and `student_init/`.
        keep_texts: False leaves the texts out of the cache, as `--no-text` does.
        made: torch, transformers, device and dtype, for the records.
        changes: Fields of the identity.
    """
    stored = dict(examples)
    kept = stored["train"].kept
    if not keep_texts:
        stored = {
            name: dataclasses.replace(rows, text_a=None, text_b=None)
            for name, rows in examples.items()
        }
    return Job(
        root=root,
        draft=draft(
            identity(examples, classes, **changes),
            shard_rows=shard_rows,
            shard_format=shard_format,
            metric=metric,
            about=about,
            columns=() if kept is None else kept_columns(kept.schema),
        ),
        examples=stored,
        files=dict(files),
        pairs=pairs,
        batch_tokens=batch_tokens,
        pad_id=pad_id,
        made=made,
    )


def build(
    made: Job,
    score: Score,
    accept: Accept,
    deadline: float = float("inf"),
    show: ShowProgress = progress,
) -> Built:
    """Build, continue or extend, as the command does once it has a teacher."""
    scorer, scored = made.scorer(score), None
    if CacheFolder(made.root).exists():
        writer = CacheWriter.open(made.root)
    else:
        writer, scored = product.create(made.target, scorer, made.files, accept)
    return product.build(made.target, scorer, writer, deadline, scored, show)


def seal(root: Path) -> Seal:
    """Seal what is complete."""
    return Cache.open(root, CacheWriter.open(root).seal()).seal


def committed(root: Path, kind: Any) -> list[tuple[int, int]]:
    """The committed ranges of a kind."""
    return [(record.start, record.stop) for record in CacheWriter.open(root).records(kind)]


def missing_rows(made: Job) -> int:
    """Rows that a build would compute."""
    if not CacheFolder(made.root).exists():
        return sum(made.target.wanted.values())
    return CacheWriter.open(made.root).missing(made.target.wanted)


def build_sealed(made: Job, score: Score) -> Path:
    """Build and seal; a longer cache than is there extends it."""
    build(made, score, accept)
    seal(made.root)
    return made.root


def accept(logits: dict[str, Logits]) -> None:
    """A gate that lets every teacher pass."""
