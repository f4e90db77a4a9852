"""What a run returns and metrics.json holds, as typed values.

result = train(options)
assert read_metrics(options.out_folder) == result
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mixkd.shared.cache.runs import TeacherSpeed
from mixkd.shared.errors import MalformedError, MissingFileError
from mixkd.shared.models.speed import Speed

METRICS = "metrics.json"
Metrics = dict[str, float]  # metric -> value
Validation = dict[str, Metrics]  # split -> metric -> value
WEIGHT = "alpha_"


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a run: after `step` steps, which are `epoch` passes over the train split."""

    step: int
    epoch: float


@dataclass(frozen=True, slots=True)
class Validated:
    """A validation of the student: when, and its metrics."""

    step: int
    epoch: float
    metrics: Validation

    @property
    def point(self) -> Point:
        return Point(self.step, self.epoch)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the headline says about the student; a margin of two standard errors may be noise.

    Attributes:
        better: Than the best answer that ignores the text, by more than two standard errors.
        baseline: What that answer is, in words, and its score.
        margin: By how much the student is better; below 0 if it is worse.
        standard_error: Of the baseline's score, on so many examples.
        trend: Of the last validations: rising, level, falling, or unknown after a single one.
        behind_teacher: The teacher's headline less the student's.
        agreement: Share of the teacher's predictions that are the student's; correlation for
            numbers.
        advice: What to try next.
        summary: All of this in a sentence or two.
    """

    better: bool
    baseline: str
    baseline_score: float
    margin: float
    standard_error: float
    trend: str
    behind_teacher: float
    agreement: float | None
    advice: tuple[str, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class StudentFacts:
    """The student: what it started from, and what it is."""

    start: str
    model_type: str
    parameters: int
    problem_type: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CacheReference:
    """A cache that the run read, and the seal at which it read it."""

    name: str
    fingerprint: str
    seal: str
    teacher: str | None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a student's card says beside its numbers.

    Attributes:
        command: The command that trains it, without local paths.
        base_model: The Hub id of the model whose layers it started with, where it has one.
        two_texts: Whether an example is known to be a pair of texts.
        about: What the first cache says of task, data and teacher.
        credits: Licence, author and language, as far as they were given.
    """

    command: str
    base_model: str | None
    two_texts: bool
    about: dict[str, str]
    credits: dict[str, str]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """All that decides the outcome beside caches and student.

    Attributes:
        weights: Term -> weight; in JSON the keys alpha_TERM.
        device, dtype: As asked for; `device_used`, `dtype_used` as they were.
        max_length: Tokens of the longest example that the student could see.
        eval_steps: Steps between validations.
    """

    layers: int | str | None
    method: str
    weights: dict[str, float]
    distance: str
    temperature: float
    mix_ratio: float
    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    weight_decay: float
    seed: int
    device: str
    dtype: str
    max_length: int
    mask: str
    processes: int
    device_used: str
    dtype_used: str
    eval_steps: int
    keep: str
    patience: int | None
    max_steps: int | None
    scheduler: str
    gradient_accumulation: int

    def to_json(self) -> dict[str, Any]:
        """Return the settings as metrics.json holds them, one key per weight."""
        plain: dict[str, Any] = {}
        for name, value in msgspec.to_builtins(self).items():
            if name == "weights":
                plain |= {f"{WEIGHT}{term}": weight for term, weight in value.items()}
            else:
                plain[name] = value
        return plain


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run returns.

    Attributes:
        metric, split: The headline metric of the task, and the validation split that it is of.
        score: The saved student's value of it, and the teacher's.
        kept: When the student had the weights that are saved, of which all metrics are.
        best: When its headline was best; `kept` is the same unless the last weights are kept.
        metrics: Of the kept student.
        teacher_metrics: The same metrics of the cached logits, where they are defined.
        teacher_speed: As the cache notes it, if it does.
        steps: Those that were trained; fewer than `planned_steps` after an early end.
        mixes_trained: Rows of mixes in all steps; `pairs_seen`: different pairs among them.
        seal: Of the first cache.
    """

    task: str | None
    metric: str
    split: str
    score: float
    teacher_score: float
    verdict: Verdict
    kept: Point
    best: Point
    metrics: Validation
    teacher_metrics: Validation
    history: tuple[Validated, ...]
    student: StudentFacts
    speed: Speed
    teacher_speed: TeacherSpeed | None
    seconds: float
    steps: int
    planned_steps: int
    mixes_trained: int
    pairs_seen: int
    pairs_in_cache: int
    seal: str
    caches: tuple[CacheReference, ...]
    settings: RunSettings
    versions: dict[str, str | int]
    card: CardFacts

    def to_json(self) -> dict[str, Any]:
        """Return the content of metrics.json as plain JSON values."""
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return {**plain, "settings": self.settings.to_json()}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> TrainResult:
        """Return the result that `to_json` made plain.

        Raises:
            ValueError: If a key is missing or a value has a different type.
        """
        given = plain.get("settings")
        settings = dict(given) if isinstance(given, dict) else {}
        weights = {k.removeprefix(WEIGHT): v for k, v in settings.items() if k.startswith(WEIGHT)}
        return msgspec.convert({**plain, "settings": {**settings, "weights": weights}}, cls)


def read_metrics(folder: str | Path) -> TrainResult:
    """Read metrics.json from the folder of a student.

    Raises:
        MissingFileError, MalformedError: Naming the file.
    """
    file = Path(folder) / METRICS
    try:
        return TrainResult.from_json(msgspec.json.decode(file.read_bytes(), type=dict[str, Any]))
    except FileNotFoundError:
        raise MissingFileError(
            file, expected="a finished student", found="nothing", do="name the folder of a student"
        ) from None
    except (ValueError, RecursionError) as error:
        raise MalformedError(
            file,
            expected="what train-student writes",
            found=str(error)[:200],
            do="train the student again",
        ) from None
