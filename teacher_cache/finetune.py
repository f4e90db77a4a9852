"""Making a teacher where there is none: a pretrained encoder, fine-tuned on a task.

    finetune(FinetuneOptions(task="rte", model="bert-base-uncased", out=Path("teachers/rte")))

The folder that comes out appears whole or not at all, and is what `cache-teacher --teacher` takes.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mixkd.shared import publish
from mixkd.shared.errors import OutputError, UsageError
from mixkd.shared.json_values import dumps
from mixkd.shared.models.files import quiet
from mixkd.teacher_cache.data.load import DataSpec

if TYPE_CHECKING:
    from mixkd.shared.examples import Examples
    from mixkd.teacher_cache.teacher import Teacher

log = logging.getLogger(__name__)
DTYPES = ("auto", "float32", "bfloat16")
SCORED_AT_ONCE = 64
METRICS_FILE = "metrics.json"


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """The options of `cache-teacher finetune`, one to one.

    Attributes:
        task, data, text_columns, label_column, label_names, subset: As in `DataSpec`.
        model: Hub id or folder of a pretrained encoder.
        out: The teacher's folder; None is `teachers/TASK`.
        max_length: Longest input, in tokens.
        dtype: `auto` is bfloat16 where the device multiplies it natively, else float32.

    Raises:
        UsageError: When it is made, naming the option.
    """

    task: str
    model: str
    out: Path | None = None
    data: str | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    label_names: tuple[str, ...] = ()
    subset: float = 1.0
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-5
    max_length: int = 128
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        _ = self.data_spec
        for name in ("epochs", "batch_size"):
            self._check(name, getattr(self, name) >= 1, "a number from 1 on")
        rate = self.learning_rate
        self._check("learning_rate", rate > 0 and math.isfinite(rate), "a number above 0")
        self._check("seed", 0 <= self.seed < 2**63, "a number from 0 to 2^63 - 1")
        self._check("dtype", self.dtype in DTYPES, f"one of {', '.join(DTYPES)}")

    def _check(self, name: str, valid: bool, expected: str) -> None:
        if not valid:
            raise UsageError(
                "--" + name.replace("_", "-"),
                expected=expected,
                found=getattr(self, name),
                do="give another value",
            )

    @property
    def data_spec(self) -> DataSpec:
        return DataSpec(
            self.task,
            self.data,
            self.text_columns,
            self.label_column,
            self.label_names,
            self.subset,
        )

    @property
    def out_folder(self) -> Path:
        return self.out or Path("teachers") / self.task


@dataclass(frozen=True, slots=True)
class Finetuned:
    """What came out.

    Attributes:
        out: The teacher's folder.
        scores: Validation split -> metrics of `mixkd.shared.metrics`.
        metric: The task's headline among them.
    """

    out: Path
    scores: dict[str, dict[str, float]]
    metric: str
    seconds: float


def finetune(options: FinetuneOptions) -> Finetuned:
    """Fine-tune a model on a task and save it with its tokenizer, label names and scores.

    Raises:
        CacheError: Of a kind that says what is wrong with data, model, device or output.
    """
    import torch

    from mixkd.shared.metrics import metrics
    from mixkd.shared.models.checkpoint import locate
    from mixkd.shared.models.device import resolve_device
    from mixkd.shared.models.tokenizer import load_tokenizer
    from mixkd.teacher_cache.data.encode import tokenise
    from mixkd.teacher_cache.data.load import load
    from mixkd.teacher_cache.precision import natively_bfloat16
    from mixkd.teacher_cache.training import Course, fit, load_for

    began = time.monotonic()
    out = options.out_folder
    _check_new(out)
    device = resolve_device(options.device)
    data = load(options.data_spec)
    checkpoint = locate(options.model)
    tokenizer = load_tokenizer(checkpoint)
    examples = tokenise(data, tokenizer, options.max_length, keep_text=False)
    torch.manual_seed(options.seed)  # of a new head's weights
    teacher = load_for(checkpoint, data, options.max_length, tokenizer, device)
    teacher.probe(examples["train"])
    automatic = "bfloat16" if natively_bfloat16(device) else "float32"
    dtype = automatic if options.dtype == "auto" else options.dtype
    log.info("fine-tuning %s on %s in %s", options.model, device, dtype)
    course = Course(options.epochs, options.batch_size, options.learning_rate, options.seed, dtype)
    steps = fit(teacher, examples["train"], data.problem_type, course)
    scores = {
        name: metrics(_logits(teacher, split), split.labels, data.problem_type)
        for name, split in examples.items()
        if name != "train"
    }
    seconds = time.monotonic() - began
    origin = {key.replace("teacher", "model"): value for key, value in checkpoint.about.items()}
    record = {
        "about": {**data.about, **origin},
        "course": asdict(course) | {"max_length": options.max_length, "steps": steps},
        "train_rows": len(examples["train"]),
        "validation": scores,
    }

    def write(folder: Path) -> None:
        with quiet():
            teacher.model.save_pretrained(folder)
        # Loaded again: the one that was used would save its padding and truncation.
        load_tokenizer(checkpoint).save_pretrained(folder)
        (folder / METRICS_FILE).write_bytes(dumps(record))

    _publish(out, write)
    return Finetuned(out, scores, str(data.about["metric"]), seconds)


def _logits(teacher: Teacher, examples: Examples) -> npt.NDArray[np.float32]:
    """Logits of all examples, float32 [n, C], in float32, as a build computes them."""
    order = np.argsort(examples.lengths, kind="stable")
    chunks = [order[at : at + SCORED_AT_ONCE] for at in range(0, len(order), SCORED_AT_ONCE)]
    scored = [teacher.score(examples.originals(rows, teacher.pad_id)) for rows in chunks]
    logits = np.empty((len(order), scored[0].shape[1]), np.float32)
    logits[order] = np.concatenate(scored)
    return logits


def _check_new(out: Path) -> None:
    """Refuse, before any work, a folder that holds something, or cannot be written."""
    if out.exists() and not out.is_dir():
        raise OutputError(out, expected="a folder", found="a file", do="choose another --out")
    if out.is_dir() and (names := sorted(path.name for path in out.iterdir())):
        raise OutputError(
            out,
            expected="a new or empty folder",
            found=", ".join(names[:5]),
            do="choose another --out, or remove it",
        )
    publish.check_writable(out.parent)


def _publish(out: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside `out`, and put it in place of nothing or an empty one."""
    aside = publish.temporary_beside(out.with_name(f".{out.name}"))
    publish.folder(aside)
    try:
        write(aside)
        publish.settle(aside)
        publish.move(aside, out)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise OutputError(
                out,
                expected="to write the teacher",
                found=error.strerror or str(error),
                do="free space or choose another --out, then run it again",
            ) from error
        raise
