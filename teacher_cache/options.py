"""What a build is asked to do: one data class, checked on construction."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixkd.shared.cache.starts import DEPTH_LIMIT, RULES, Rule, listed
from mixkd.shared.mixup import MASK_RULES
from mixkd.shared.options import DTYPES as NUMBER_FORMATS
from mixkd.shared.options import check, check_choice, check_count
from mixkd.teacher_cache.data.load import DataSpec

if TYPE_CHECKING:
    from mixkd.teacher_cache.data.objects import AnyData

SHARD_FORMATS = ("arrow", "hdf5")
LOGITS_DTYPES = ("float32", "float16")
DTYPES = ("auto", *NUMBER_FORMATS)
DEVICE = re.compile(r"\d{1,4}|cpu")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options of `cache-teacher`, of the same names.

    None means "what the cache in `--out` has, else the default": a cache can be extended without
    saying again how it was built, and what is said again is compared with it. `data` may also be a
    `Dataset` or `DatasetDict` of `datasets`.

    Attributes:
        student_layers: Starting points to make, each a depth, or the teacher's layers (from 0 on);
            None makes one of half the depth.
        starts: How layers are chosen for a depth (`mixkd.shared.cache.starts.layers_by`).
        devices: A builder each: `("all",)`, numbers of CUDA devices, or names such as `cpu`.
        time_limit_s: From the start of the command; 0 computes nothing and seals what is complete.

    Raises:
        UsageError: On construction, naming the option.
    """

    task: str
    pairs: int
    teacher: str | None = None
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
        _ = self.root
        if self.names_data:
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
    def names_data(self) -> bool:
        """Whether an option says what the examples are, so that they must be read and compared."""
        chosen = self.data is not None or self.subset is not None
        return chosen or bool(self.text_columns or self.label_column or self.label_names)

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
        given = self.data is None or isinstance(self.data, str | Path)
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
