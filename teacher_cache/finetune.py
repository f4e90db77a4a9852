"""Fine-tune a pretrained encoder on a task, for tasks without a published teacher.

    finetune(FinetuneOptions(task="rte", model="bert-base-uncased", out=Path("teachers/rte")))

The folder appears whole or not at all, and is what `cache-teacher --teacher` takes.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixkd.shared import publish
from mixkd.shared.errors import OutputError
from mixkd.shared.json_values import dumps
from mixkd.shared.models.quietly import quiet
from mixkd.shared.options import check, check_choice, check_count
from mixkd.shared.output import check_output, claimed, filled_aside
from mixkd.teacher_cache.data.load import DataSpec
from mixkd.teacher_cache.options import folder_of

if TYPE_CHECKING:
    from mixkd.teacher_cache.data.objects import AnyData

log = logging.getLogger(__name__)
DTYPES = ("auto", "float32", "bfloat16")
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
        UsageError: On construction, naming the option.
    """

    task: str
    model: str
    out: str | Path | None = None
    data: AnyData | None = None
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
        _ = self.data_spec, self.out_folder  # which check themselves
        for name, least in (("epochs", 1), ("batch_size", 1), ("max_length", 1), ("seed", 0)):
            check_count(name, getattr(self, name), least)
        rate = self.learning_rate
        valid = rate > 0 and math.isfinite(rate)
        check("learning_rate", rate, valid, "a number above 0", "try 5e-5")
        check_choice("dtype", self.dtype, DTYPES)

    @property
    def data_spec(self) -> DataSpec:
        """The options that say what the examples are."""
        return DataSpec.of(self)

    @property
    def out_folder(self) -> Path:
        return folder_of("teachers", self.task, self.out)


@dataclass(frozen=True, slots=True)
class Finetuned:
    """The result of a fine-tuning.

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
        MixkdError: Of a kind that says what is wrong with data, model, device or output.
    """
    out = options.out_folder
    check_output(out)
    place = out.resolve()
    working = place.with_name(f".{place.name}.unfinished")
    with claimed(working, out):
        check_output(out)  # again: another run may have ended meanwhile
        return _finetune(options, out, working)


def _finetune(options: FinetuneOptions, out: Path, working: Path) -> Finetuned:
    """Fine-tune in a claimed folder, and rename what is done to `out`."""
    from mixkd.shared.metrics import metrics
    from mixkd.shared.models.device import memory_advice, natively_bfloat16, resolve_device
    from mixkd.shared.models.locate import locate
    from mixkd.shared.models.tokenizer import load_tokenizer
    from mixkd.shared.training import predictions, scored_at_once
    from mixkd.teacher_cache.data.encode import tokenise
    from mixkd.teacher_cache.data.load import load
    from mixkd.teacher_cache.training import Course, fit, load_for

    began = time.monotonic()
    device = resolve_device(options.device)
    data = load(options.data_spec)
    checkpoint = locate(options.model)
    tokenizer = load_tokenizer(checkpoint)
    examples = tokenise(data, tokenizer, options.max_length, keep_text=False)
    teacher = load_for(checkpoint, data, options.max_length, tokenizer, device, options.seed)
    with memory_advice("use --device cpu, or a shorter --max-length"):
        teacher.probe(examples["train"])
    automatic = "bfloat16" if natively_bfloat16(device) else "float32"
    dtype = automatic if options.dtype == "auto" else options.dtype
    log.info("fine-tuning %s on %s in %s", options.model, device, dtype)
    course = Course(options.epochs, options.batch_size, options.learning_rate, options.seed, dtype)
    steps = fit(teacher, examples["train"], data.problem_type, course)
    scores = {}
    at_once = scored_at_once(options.batch_size)
    smaller = f"use --batch-size {at_once // 4}" if at_once >= 4 else "use --device cpu"
    for name, split in examples.items():
        if name != "train":
            with memory_advice(smaller):
                logits = predictions(
                    teacher.score, split, teacher.pad_id, len(teacher.columns), at_once=at_once
                )
            scores[name] = metrics(logits, split.labels, data.problem_type)
    seconds = time.monotonic() - began
    origin = {key.replace("teacher", "model"): value for key, value in checkpoint.about.items()}
    record = {
        "about": {**data.about, **origin},
        "metric": data.metric,
        "course": asdict(course) | {"max_length": options.max_length, "steps": steps},
        "train_rows": len(examples["train"]),
        "validation": scores,
    }

    def write(folder: Path) -> None:
        with quiet():
            teacher.model.save_pretrained(folder)
        # Loaded again: the one that was used would save its padding and truncation.
        load_tokenizer(checkpoint).save_pretrained(folder)
        publish.Root(folder).replace(METRICS_FILE, dumps(record))

    aside = working / "teacher"
    with filled_aside(aside, write, lambda error: _unwritten(out, error)):
        check_output(out)
        publish.move(aside, out.resolve())
    return Finetuned(out, scores, data.metric, seconds)


def _unwritten(out: Path, error: Exception) -> OutputError:
    return OutputError(
        out,
        expected="to write the teacher",
        found=str(error)[:120],
        do="free space or choose another --out, then run it again",
    )
