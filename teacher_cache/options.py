"""What a build is asked for: one data class, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixkd.shared.errors import UsageError
from mixkd.shared.mixup import MASK_RULES
from mixkd.teacher_cache.data.load import DataSpec

SHARD_FORMATS = ("arrow", "hdf5")
LOGITS_DTYPES = ("float32", "float16")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options of `cache-teacher`, of the same names.

    None stands for "what the cache in `--out` has, else the default": a cache can be extended
    without saying again how it was made, and what is said again is compared with it.

    Raises:
        UsageError: When it is made, naming the option.
    """

    task: str
    pairs: int
    teacher: str | None = None
    data: str | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    label_names: tuple[str, ...] = ()
    teacher_labels: tuple[int, ...] | None = None
    out: Path | None = None
    format: str | None = None
    beta: float | None = None
    mask: str | None = None
    seed: int | None = None
    max_length: int | None = None
    subset: float | None = None
    logits_dtype: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    batch_tokens: int | None = None
    shard_rows: int | None = None
    student_layers: tuple[int, ...] | None = None
    min_teacher_score: float | None = None
    time_limit_s: float | None = None
    dry_run: bool = False
    text: bool = True

    def __post_init__(self) -> None:
        _at_least("--pairs", self.pairs, 0, "0 caches the originals only")
        for option, value in (
            ("--max-length", self.max_length),
            ("--batch-tokens", self.batch_tokens),
            ("--shard-rows", self.shard_rows),
        ):
            _at_least(option, value, 1, "give a positive number, or leave it out")
        _at_least("--seed", self.seed, 0, "give a number of at least 0")
        if self.beta is not None and not 0 < self.beta <= 1000:
            raise UsageError(
                "--beta", expected="a number in (0, 1000]", found=self.beta, do="try 0.4"
            )
        for option, choice, choices in (
            ("--format", self.format, SHARD_FORMATS),
            ("--mask", self.mask, MASK_RULES),
            ("--logits-dtype", self.logits_dtype, LOGITS_DTYPES),
        ):
            if choice is not None and choice not in choices:
                raise UsageError(
                    option, expected=f"one of {', '.join(choices)}", found=choice, do="choose one"
                )

    @property
    def root(self) -> Path:
        """The cache's folder."""
        return self.out or Path("shards") / self.task

    @property
    def data_spec(self) -> DataSpec:
        return DataSpec(
            task=self.task,
            data=self.data,
            text_columns=self.text_columns,
            label_column=self.label_column,
            label_names=self.label_names,
            subset=1.0 if self.subset is None else self.subset,
        )

    @property
    def names_data(self) -> bool:
        """Whether an option says what the examples are, so that they must be read and compared."""
        return bool(
            self.data or self.text_columns or self.label_column or self.label_names or self.subset
        )


def _at_least(option: str, value: int | None, least: int, do: str) -> None:
    if value is not None and value < least:
        raise UsageError(option, expected=f"at least {least}", found=value, do=do)
