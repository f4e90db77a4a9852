"""What a build is asked to do: one data class, checked on construction."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixkd.shared.cache.starts import DEPTH_LIMIT, RULES, Rule, listed
from mixkd.shared.cards import check_credits, credits_of
from mixkd.shared.mixup import MASK_RULES
from mixkd.shared.options import DTYPES as NUMBER_FORMATS
from mixkd.shared.options import check, check_choice, check_count
from mixkd.teacher_cache.data.load import DataSpec
from mixkd.teacher_cache.data.logits import LogitsSpec

if TYPE_CHECKING:
    from mixkd.shared.data.objects import AnyData

SHARD_FORMATS = ("arrow", "hdf5")
LOGITS_DTYPES = ("float32", "float16")
DTYPES = ("auto", *NUMBER_FORMATS)
MAX_LENGTH = 128  # tokens of the longest example, where nobody says otherwise
DEVICE = re.compile(r"\d{1,4}|cpu")
NO_PAIRS = "the model that gave the logits is not here to answer for mixes"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options of `cache-teacher`, of the same names.

    None means "what the cache in `--out` has, else the default": a cache can be extended without
    saying again how it was built, and what is said again is compared with it. `data` may also be a
    `Dataset` or `DatasetDict` of `datasets`.

    Attributes:
        logits_column: Of `data`: logits or probabilities that a model elsewhere gave, as a list of
            C numbers per row, or a column for each class. Then there is no teacher, and `tokenizer`
            (Hub id or folder) is the students'.
        student_layers: Starting points to make, each a depth, or the teacher's layers (from 0 on);
            None makes one of half the depth.
        starts: How layers are chosen for a depth (`mixkd.shared.cache.starts.layers_by`).
        unlabelled, augmented, id_column: Rows to add to train, as in `DataSpec`.
        devices: A builder each: `("all",)`, numbers of CUDA devices, or names such as `cpu`.
        time_limit_s: From the start of the command; 0 computes nothing and seals what is complete.
        license, author, language: Of the cache, for its card; a licence as the Hub names it (`mit`)
            or a text, languages as codes separated by commas (`en`, `de,fr`).

    Raises:
        UsageError: On construction, naming the option.
    """

    task: str
    pairs: int
    teacher: str | Path | None = None
    data: AnyData | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    label_names: tuple[str, ...] = ()
    teacher_labels: tuple[int, ...] | None = None
    out: str | Path | None = None
    format: str | None = None
    beta: float | None = None
    mask: str | None = None
    seed: int | None = None
    max_length: int | None = None
    subset: float | None = None
    logits_dtype: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    devices: tuple[str, ...] | None = None
    batch_tokens: int | None = None
    shard_rows: int | None = None
    student_layers: tuple[int | tuple[int, ...], ...] | None = None
    starts: tuple[Rule, ...] | None = None
    min_teacher_score: float | None = None
    time_limit_s: float | None = None
    dry_run: bool = False
    text: bool = True
    unlabelled: tuple[AnyData, ...] = ()
    augmented: tuple[str | Path, ...] = ()
    id_column: str | None = None
    logits_column: str | tuple[str, ...] | None = None
    logits_kind: str = "auto"
    tokenizer: str | None = None
    license: str | None = None
    author: str | None = None
    language: str | None = None
    train_split: str | None = None
    validation_split: tuple[str, ...] = ()
    keep_columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_count("pairs", self.pairs, 0, "0 caches the originals only")
        for name, least in (("max_length", 1), ("batch_tokens", 1), ("shard_rows", 1), ("seed", 0)):
            if (count := getattr(self, name)) is not None:
                check_count(name, count, least, "give another number, or leave it out")
        if self.beta is not None:
            check("beta", self.beta, 0 < self.beta <= 1000, "a number in (0, 1000]", "try 0.4")
        for start in self.student_layers or ():
            self._check_start(start)
        for rule in self.starts or ():
            check_choice("starts", rule, RULES)
        if (score := self.min_teacher_score) is not None:
            check("min_teacher_score", score, math.isfinite(score), "a number", "try 0.8")
        if (limit := self.time_limit_s) is not None:
            valid = math.isfinite(limit) and limit >= 0
            check("--time-limit", limit, valid, "a duration", "try 2h, or leave it out")
        if self.devices is not None:
            self._check_devices(self.devices)
        for name, choices in (
            ("format", SHARD_FORMATS),
            ("mask", MASK_RULES),
            ("logits_dtype", LOGITS_DTYPES),
            ("dtype", DTYPES),
        ):
            if (choice := getattr(self, name)) is not None:
                check_choice(name, choice, choices)
        check_credits(self.license, self.author, self.language)
        _ = self.root
        self._check_given()
        # A teacher's folder may remember the data, which are then checked as if they were given.
        if self.names_data and not (self.data is None and self.teacher):
            _ = self.data_spec  # which checks itself

    @property
    def root(self) -> Path:
        """The cache's folder."""
        return folder_of("shards", self.task, self.out)

    @property
    def data_spec(self) -> DataSpec:
        """The options that say what the examples are."""
        return DataSpec.of(self)

    @property
    def logits_spec(self) -> LogitsSpec | None:
        """The options that say where given logits are; None where a teacher gives them."""
        if self.logits_column is None:
            return None
        columns = self.logits_column
        return LogitsSpec((columns,) if isinstance(columns, str) else columns, self.logits_kind)

    @property
    def names_data(self) -> bool:
        """Whether an option says what the examples are, so that they must be read and compared."""
        chosen = (self.data, self.subset, self.keep_columns) != (None, None, None)
        named = self.text_columns or self.label_column or self.label_names
        added = self.unlabelled or self.augmented or self.id_column
        return chosen or bool(named or added or self.train_split or self.validation_split)

    @property
    def credits(self) -> dict[str, str]:
        """What a new cache's `about` gets of them."""
        return credits_of(self)

    def _check_given(self) -> None:
        """Refuse what makes no sense without a teacher, and what needs given logits."""
        if self.logits_spec is None:
            alone = "name their column with --logits-column, or leave it out"
            for name, unused in (
                ("tokenizer", self.tokenizer is None),
                ("logits_kind", self.logits_kind == "auto"),
            ):
                check(name, getattr(self, name), unused, "none without given logits", alone)
            return
        check("--logits-column", "no --data", self.data is not None, "--data", "name the table")
        pairs = "give --pairs 0: students train from it with --method kd"
        check("pairs", self.pairs, self.pairs == 0, f"0, since {NO_PAIRS}", pairs)
        for name, unused in (
            ("teacher", self.teacher is None),
            ("devices", self.devices is None),
            ("device", self.device == "auto"),
            ("dtype", self.dtype == "auto"),
            ("batch_tokens", self.batch_tokens is None),
            ("student_layers", not self.student_layers),
            ("starts", self.starts is None),
            ("unlabelled", not self.unlabelled),
            ("augmented", not self.augmented),
        ):
            expected = "none beside --logits-column, since no teacher is loaded"
            check(name, getattr(self, name), unused, expected, "leave it out")

    def _check_start(self, start: int | tuple[int, ...]) -> None:
        layers = start if isinstance(start, tuple) else (start,)
        least = 0 if isinstance(start, tuple) else 1
        for layer in layers:
            check_count("student_layers", layer, least, "give depths such as 3,6, or none")
        expected = f"at most {DEPTH_LIMIT} ascending layers"
        valid = len(layers) <= DEPTH_LIMIT and list(layers) == sorted({*layers})
        check("student_layers", listed(layers), valid, expected, "list them as in 0-2-5")

    def _check_devices(self, devices: tuple[str, ...]) -> None:
        known = devices == ("all",) or (bool(devices) and all(map(DEVICE.fullmatch, devices)))
        cuda = [name for name in devices if name != "cpu"]
        check(
            "devices",
            ",".join(devices),
            known and len({*cuda}) == len(cuda),
            "all, different numbers of CUDA devices such as 0,1,3, or cpu,cpu",
            "name each device once, or leave it out",
        )
        alone = "use --devices for one builder per device, --device for one builder"
        check("device", self.device, self.device == "auto", "none beside --devices", alone)
        given = all(isinstance(data, str | Path) for data in (self.data or "", *self.unlabelled))
        by_name = "each builder reads the data: save them to a file or folder, or use one device"
        check("devices", "data in memory", given, "data in a file, a folder or the Hub", by_name)


def folder_of(parent: str, task: str, out: str | Path | None) -> Path:
    """Return the folder that a command fills: `out`, else one of the task's name in `parent`.

    Raises:
        UsageError: If the name leads somewhere else.
    """
    if out:
        return Path(out)
    plain = task not in ("", ".", "..") and not {*"/\\\0"} & {*task}
    expected = f"a plain name, since it names the folder {parent}/TASK"
    check("task", repr(task), plain, expected, "give another name, or say --out FOLDER")
    return Path(parent) / task
