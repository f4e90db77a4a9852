"""What a run returns and metrics.json holds, as typed values.

result = train(options)
assert read_metrics(options.out_folder) == result
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mixkd.shared.errors import MalformedError, MissingFileError

METRICS = "metrics.json"
Metrics = dict[str, float]  # metric -> value
Validation = dict[str, Metrics]  # split -> metric -> value
WEIGHT = "alpha_"


@dataclass(frozen=True, slots=True)
class Epoch:
    """A finished epoch, counted from 1, and its validation."""

    epoch: int
    validation: Validation


@dataclass(frozen=True, slots=True)
class BestEpoch:
    """The epoch with the highest value of the headline metric, which is not necessarily saved."""

    chosen_by: str
    epoch: int
    validation: Validation


@dataclass(frozen=True, slots=True)
class StudentFacts:
    """The student: what it started from, and what it is."""

    start: str
    model_type: str
    parameters: int
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CacheReference:
    """A cache that the run read, and the seal at which it read it."""

    name: str
    fingerprint: str
    seal: str
    teacher: str | None


@dataclass(frozen=True, slots=True)
class RunSettings:
    """All that decides the outcome beside caches and student.

    Attributes:
        weights: Term -> weight; in JSON the keys alpha_TERM.
        device, dtype: As asked for; `device_used`, `dtype_used` as they were.
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
        metric: The headline metric of the task.
        validation: Of the last epoch, whose weights are the saved ones.
        teacher: The same metrics of the cached logits, where they are defined.
        mixes_trained: Rows of mixes in all steps; `pairs_seen`: different pairs among them.
        seal: Of the first cache.
    """

    task: str | None
    metric: str
    validation: Validation
    best_epoch: BestEpoch
    teacher: Validation
    history: tuple[Epoch, ...]
    student: StudentFacts
    seconds: float
    steps: int
    mixes_trained: int
    pairs_seen: int
    pairs_in_cache: int
    seal: str
    caches: tuple[CacheReference, ...]
    settings: RunSettings
    versions: dict[str, str | int]

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
