"""What a training run is asked to do, checked before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from mixkd.shared.errors import UsageError
from mixkd.student_train.objective.terms import DISTANCES, PRESETS, Distance, Weights

Device = Literal["auto", "cpu", "cuda"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")
DTYPES: tuple[DType, ...] = ("auto", "float32", "bfloat16", "float16")
# Where a run looks and speaks; everything else decides what comes out.
OUTSIDE_SETTINGS = ("cache", "student", "out", "resume", "track", "checkpoint_steps", "log_steps")


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of `train-student`, one to one.

    Attributes:
        cache: One cache, or several with the same examples and rows: their logits are averaged.
        student: Hub id or folder; None takes a starting point from the cache, of `layers` layers.
        batch_size: Originals in a step, of all processes together; mixes come on top.
        mix_ratio: Mixes for each original.
        warmup: Share of the steps in which the learning rate rises.
        checkpoint_steps: Steps between checkpoints; there is also one at the end of each epoch.
        log_steps: Steps between lines of losses.

    Raises:
        UsageError: Naming the option, when it is made.
    """

    cache: tuple[Path, ...]
    student: str | None = None
    layers: int | None = None
    method: str = "mixkd"
    alpha_mle: float | None = None
    alpha_sm: float | None = None
    alpha_tmkd: float | None = None
    alpha_kd: float | None = None
    distance: Distance = "mse"
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
    resume: bool = False
    track: tuple[str, ...] = ()
    out: Path | None = None

    def __post_init__(self) -> None:
        if not self.cache:
            raise UsageError("--cache", expected="a folder", found="none", do="name one")
        if self.student is not None and self.layers is not None:
            raise UsageError(
                "--layers", expected="--student or --layers", found="both", do="leave one out"
            )
        self._check_choice("method", tuple(PRESETS))
        self._check_choice("distance", DISTANCES)
        self._check_choice("device", DEVICES)
        self._check_choice("dtype", DTYPES)
        for name in ("epochs", "batch_size", "checkpoint_steps", "log_steps"):
            self._check_number(name, getattr(self, name) >= 1, "a number from 1 on")
        if self.layers is not None:
            self._check_number("layers", self.layers >= 1, "a number from 1 on")
        for name in ("temperature", "learning_rate"):
            self._check_number(name, getattr(self, name) > 0, "a number above 0")
        for name in ("weight_decay", "mix_ratio"):
            self._check_number(name, getattr(self, name) >= 0, "a number from 0 on")
        self._check_number("warmup", 0 <= self.warmup <= 1, "a share from 0 to 1")
        self._check_number("seed", 0 <= self.seed < 2**63, "a number from 0 to 2^63 - 1")
        self._check_weights()

    @property
    def weights(self) -> Weights:
        """The method's weights, with those given explicitly in their place."""
        preset = PRESETS[self.method]
        given = {name: getattr(self, f"alpha_{name}") for name in asdict(preset)}
        return Weights(
            **{
                name: float(getattr(preset, name) if value is None else value)
                for name, value in given.items()
            }
        )

    @property
    def out_folder(self) -> Path:
        """`--out`, or `students/` and the first cache's name."""
        return self.out or Path("students") / self.cache[0].resolve().name

    def settings(self) -> dict[str, Any]:
        """All that decides the outcome beside caches and student, as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        inside = {name: value for name, value in values.items() if name not in OUTSIDE_SETTINGS}
        return {**inside, **{f"alpha_{k}": v for k, v in asdict(self.weights).items()}}

    def _check_weights(self) -> None:
        weights = asdict(self.weights)
        for name, weight in weights.items():
            self._check_number(f"alpha_{name}", weight >= 0, "a weight from 0 on", weight)
        if not any(weights.values()):
            raise UsageError(
                "--alpha-mle, --alpha-sm, --alpha-tmkd, --alpha-kd",
                expected="at least one weight above 0",
                found="only zeros",
                do="choose a --method or give a weight",
            )
        if (weights["sm"] or weights["tmkd"]) and not self.mix_ratio:
            raise UsageError(
                "--mix-ratio",
                expected="a number above 0, since this objective has terms on mixes",
                found=self.mix_ratio,
                do="raise it, or use --method kd or ft",
            )

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        if getattr(self, name) not in choices:
            raise UsageError(
                option(name),
                expected=f"one of {', '.join(choices)}",
                found=getattr(self, name),
                do="choose one of these",
            )

    def _check_number(
        self, name: str, valid: bool, expected: str, found: float | None = None
    ) -> None:
        value = getattr(self, name) if found is None else found
        if not (valid and math.isfinite(value)):
            raise UsageError(option(name), expected=expected, found=value, do="give another value")


def option(name: str) -> str:
    """`batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")
