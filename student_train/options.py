"""What a training run is asked to do, checked before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mixkd.shared.cache.starts import listed
from mixkd.shared.cards import check_credits
from mixkd.shared.errors import UsageError
from mixkd.shared.invocation import command_line
from mixkd.shared.options import DTYPES as NUMBER_FORMATS
from mixkd.shared.options import SCHEDULERS, Dtype, Scheduler, check, check_choice, option
from mixkd.shared.trackers import PROJECT, TRACKING_OPTIONS
from mixkd.student_train.objective.distances import DISTANCES
from mixkd.student_train.objective.terms import PRESETS, TERMS

Device = Literal["auto", "cpu", "cuda", "mps"]
DType = Dtype | Literal["auto"]
Keep = Literal["best", "last"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda", "mps")
DTYPES: tuple[DType, ...] = ("auto", *NUMBER_FORMATS)
KEEPS: tuple[Keep, ...] = ("best", "last")
# Far beyond what a run can use; without a bound, one that is mistyped ends in no time that anybody
# waits for, or in no memory that anybody has.
LARGEST_COUNTS = {
    "epochs": 10**6,
    "batch_size": 2**20,
    "checkpoint_steps": 10**12,
    "log_steps": 10**12,
    "eval_steps": 10**12,
    "patience": 10**6,
    "max_steps": 10**12,
    "gradient_accumulation": 2**20,
    "max_length": 2**20,
}
LARGEST_MIX_RATIO = 1000
LARGEST_STEP_ROWS = 2**20
# Where a run reads and what it reports; everything else decides the outcome.
OUTSIDE_SETTINGS = (
    "cache",
    "student",
    "allow_model_type",
    "out",
    "resume",
    "checkpoint_steps",
    "log_steps",
    *TRACKING_OPTIONS,
    "license",
    "author",
    "language",
)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of `train-student`, one to one.

    Attributes:
        cache: One cache, or several with the same examples and rows: their logits are averaged.
        student: Hub id or folder; None takes a starting point from the cache.
        layers: How many layers that start has, or which of the teacher's they are, such as
            (0, 2, 5); None takes the deepest start.
        allow_model_type: Types of models, as in a config.json, that a student may be of beside the
            tested ones.
        method: A preset of the weights.
        weights: Term -> weight, in place of the method's.
        distance: Between the logits of student and teacher.
        batch_size: Originals per step, of all processes together; mixes come on top.
        mix_ratio: Mixes per original.
        warmup: Share of the steps in which the learning rate rises.
        checkpoint_steps: Steps between checkpoints; there is also one at the end of each epoch.
        log_steps: Steps between lines of losses.
        eval_steps: Steps between validations; None validates at the end of an epoch, but no more
            rows than were trained on since the last time. There is always one after the last step.
        keep: `best` saves the weights whose headline metric was best in a validation, as the
            `load_best_model_at_end` of `transformers` does; the earliest of equal ones. Its score
            was chosen on these examples: compare methods by `last`, or on a test split.
        patience: End after so many validations in a row without a better headline metric; the
            learning rate stays that of the planned steps.
        max_steps: End after so many steps, whatever `epochs` says.
        scheduler: What the learning rate does, by its name in `transformers`.
        gradient_accumulation: Parts that a step's rows are computed in, one after the other; the
            loss stays that of the step.
        max_length: Tokens of an example, at most; None is the cache's. Longer ones are cut.
        track: Trackers, by accelerate's names.
        project, run_name, group, tags: The run's names in trackers; its own is the folder's.
        license, author, language: Of the student, for its card; a licence as the Hub names it
            (`mit`) or a text, languages as codes separated by commas; None takes the cache's.

    Raises:
        UsageError: When it is created, naming the option.
    """

    cache: str | Path | Sequence[str | Path]
    student: str | None = None
    layers: int | tuple[int, ...] | None = None
    allow_model_type: tuple[str, ...] = ()
    method: str = "mixkd"
    weights: Mapping[str, float] = field(default_factory=dict)
    distance: str = "mse"
    temperature: float = 1.0
    mix_ratio: float = 1.0
    epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    seed: int = 0
    device: Device = "auto"
    dtype: DType = "auto"
    checkpoint_steps: int = 500
    log_steps: int = 50
    eval_steps: int | None = None
    keep: Keep = "best"
    patience: int | None = None
    max_steps: int | None = None
    scheduler: Scheduler = "linear"
    gradient_accumulation: int = 1
    max_length: int | None = None
    resume: bool = False
    track: tuple[str, ...] = ()
    out: str | Path | None = None
    project: str = PROJECT
    run_name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    license: str | None = None
    author: str | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        if not self.roots:
            raise UsageError("--cache", expected="a folder", found="none", do="name one")
        if self.student is not None and self.layers is not None:
            raise UsageError(
                "--layers", expected="--student or --layers", found="both", do="leave one out"
            )
        check_choice("method", self.method, PRESETS)
        check_choice("distance", self.distance, DISTANCES)
        check_choice("device", self.device, DEVICES)
        check_choice("dtype", self.dtype, DTYPES)
        check_choice("keep", self.keep, KEEPS)
        check_choice("scheduler", self.scheduler, SCHEDULERS)
        for name, most in LARGEST_COUNTS.items():
            value = getattr(self, name)
            if value is not None:
                self._check_number(name, 1 <= value <= most, f"a number from 1 to {most:,}")
        if isinstance(self.layers, int):
            self._check_number("layers", self.layers >= 1, "a number from 1 on")
        for name in ("temperature", "learning_rate"):
            self._check_number(name, getattr(self, name) > 0, "a number above 0")
        self._check_number("weight_decay", self.weight_decay >= 0, "a number from 0 on")
        valid = 0 <= self.mix_ratio <= LARGEST_MIX_RATIO
        self._check_number("mix_ratio", valid, f"a number from 0 to {LARGEST_MIX_RATIO:,}")
        rows = self.batch_size * (1 + self.mix_ratio)
        self._check_number(
            "batch_size",
            rows <= LARGEST_STEP_ROWS,
            f"at most {LARGEST_STEP_ROWS:,} originals and mixes per step",
            rows,
        )
        self._check_number("warmup", 0 <= self.warmup <= 1, "a share from 0 to 1")
        self._check_number("seed", 0 <= self.seed < 2**63, "a number from 0 to 2^63 - 1")
        self._check_weights()
        check_credits(self.license, self.author, self.language)

    @property
    def all_weights(self) -> dict[str, float]:
        """The weight of every term: the method's, with those given explicitly in their place."""
        given = {**PRESETS[self.method], **self.weights}
        return {name: float(given.get(name, 0.0)) for name in TERMS}

    @property
    def out_folder(self) -> Path:
        """`--out`, or `students/` and the name of the first cache."""
        return Path(self.out) if self.out else Path("students") / self.roots[0].resolve().name

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders of the caches."""
        given = (self.cache,) if isinstance(self.cache, str | Path) else self.cache
        return tuple(map(Path, given))

    @property
    def command(self) -> str:
        """The command that trains the same student, without local paths."""
        return command_line(
            "train-student",
            self,
            left_out=("resume", *TRACKING_OPTIONS, "out", "checkpoint_steps", "log_steps"),
            repeated=("cache", "allow_model_type"),
            prefixes={"weights": "alpha_"},
            separators={"layers": "-"},
        )

    def settings(self) -> dict[str, Any]:
        """Return all that decides the outcome beside caches and student, as JSON values."""
        settings: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            if name == "weights":
                settings |= {f"alpha_{term}": value for term, value in self.all_weights.items()}
            elif name not in OUTSIDE_SETTINGS:
                settings[name] = getattr(self, name)
        if isinstance(self.layers, tuple):
            settings["layers"] = listed(self.layers)
        return settings

    def _check_weights(self) -> None:
        unknown = [name for name in self.weights if name not in TERMS]
        if unknown:
            raise UsageError(
                f"weights[{unknown[0]!r}]",
                expected=f"one of {', '.join(TERMS)}",
                found=unknown[0],
                do="choose one of these, or register the term first",
            )
        weights = self.all_weights
        for name, weight in weights.items():
            self._check_number(f"alpha_{name}", weight >= 0, "a weight from 0 on", weight)
        if not any(weights.values()):
            raise UsageError(
                ", ".join(option(f"alpha_{name}") for name in TERMS),
                expected="at least one weight above 0",
                found="only zeros",
                do="choose a --method or give a weight",
            )
        if not self.mix_ratio and any(
            weight and TERMS[name].part == "mixes" for name, weight in weights.items()
        ):
            raise UsageError(
                "--mix-ratio",
                expected="a number above 0, since this objective has terms on mixes",
                found=self.mix_ratio,
                do="raise it, or use --method kd or ft",
            )

    def _check_number(
        self, name: str, valid: bool, expected: str, found: float | None = None
    ) -> None:
        value = getattr(self, name) if found is None else found
        check(name, value, valid and math.isfinite(value), expected, "give another value")
