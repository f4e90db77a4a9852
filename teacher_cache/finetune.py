"""Fine-tune a pretrained encoder on a task, for tasks without a published teacher.

    finetune(FinetuneOptions(task="rte", model="bert-base-uncased", out=Path("teachers/rte")))

The folder appears whole or not at all, and is what `cache-teacher --teacher` takes.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared import publish
from mixkd.shared.cards import check_credits, credits_of
from mixkd.shared.errors import DataError, OutputError
from mixkd.shared.invocation import command_line
from mixkd.shared.json_values import dumps
from mixkd.shared.models.quietly import quiet
from mixkd.shared.options import check, check_choice, check_count
from mixkd.shared.output import check_output, claimed, filled_aside
from mixkd.shared.progress import now, progress, working
from mixkd.shared.trackers import (
    PROJECT,
    TRACKING_OPTIONS,
    Tracking,
    check_trackers,
    named,
)
from mixkd.teacher_cache.card import CARD, TeacherFacts, teacher_card
from mixkd.teacher_cache.data.load import DataSpec
from mixkd.teacher_cache.next_steps import build_command
from mixkd.teacher_cache.options import folder_of
from mixkd.teacher_cache.remembered import MEMORY_FILE, Remembered

if TYPE_CHECKING:
    from mixkd.shared.data.objects import AnyData

log = logging.getLogger(__name__)
DTYPES = ("auto", "float32", "bfloat16")
METRICS_FILE = "metrics.json"
DATA_FIELDS = (
    *("task", "text_columns", "label_column", "label_names"),
    *("seed", "subset", "train_split", "validation_split"),
)


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """The options of `cache-teacher finetune`, one to one.

    Attributes:
        task, data, text_columns, label_column, label_names, subset, train_split, validation_split:
            As in `DataSpec`.
        model: Hub id or folder of a pretrained encoder.
        out: The teacher's folder; None is `teachers/TASK`.
        max_length: Longest input, in tokens; None is 128, or what the tokenizer allows.
        dtype: `auto` is bfloat16 where the device multiplies it natively, else float32.
        track, project, run_name, group, tags: As in `TrainOptions`.
        license, author, language: Of the teacher, for its card, as in `BuildOptions`.

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
    max_length: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    track: tuple[str, ...] = ()
    project: str = PROJECT
    run_name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    license: str | None = None
    author: str | None = None
    language: str | None = None
    train_split: str | None = None
    validation_split: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _ = self.data_spec, self.out_folder  # which check themselves
        for name, least in (("epochs", 1), ("batch_size", 1), ("max_length", 1), ("seed", 0)):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least)
        rate = self.learning_rate
        valid = rate > 0 and math.isfinite(rate)
        check("learning_rate", rate, valid, "a number above 0", "try 5e-5")
        check_choice("dtype", self.dtype, DTYPES)
        check_credits(self.license, self.author, self.language)

    @property
    def command(self) -> str:
        """The command that makes the same teacher, without local paths."""
        left_out = ("out", *TRACKING_OPTIONS)
        return command_line("cache-teacher finetune", self, left_out=left_out)

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
        next_command: The command line that builds a cache from it; None where `cache-teacher` would
            refuse it, as no better than guessing, and for data in memory.
    """

    out: Path
    scores: dict[str, dict[str, float]]
    metric: str
    seconds: float
    next_command: str | None


@working()
def finetune(options: FinetuneOptions) -> Finetuned:
    """Fine-tune a model on a task and save it with its tokenizer, label names and scores.

    Raises:
        MixkdError: Of a kind that says what is wrong with data, model, device or output.
    """
    out = options.out_folder
    check_output(out)
    place = out.resolve()
    unfinished = place.with_name(f".{place.name}.unfinished")
    with claimed(unfinished, out):
        check_output(out)  # again: another run may have ended meanwhile
        return _finetune(options, out, unfinished)


def _finetune(options: FinetuneOptions, out: Path, unfinished: Path) -> Finetuned:
    """Fine-tune in a claimed folder, and rename what is done to `out`."""
    from mixkd.shared.examples import has_label
    from mixkd.shared.metrics import metrics
    from mixkd.shared.models.device import memory_advice, natively_bfloat16, resolve_device
    from mixkd.shared.models.locate import locate
    from mixkd.shared.models.tokenizer import load_tokenizer
    from mixkd.shared.training import counted, predictions, scored_at_once
    from mixkd.teacher_cache.data.encode import longest_by_default, tokenise
    from mixkd.teacher_cache.data.load import load
    from mixkd.teacher_cache.gate import against_guessing
    from mixkd.teacher_cache.training import Course, fit, load_for

    began = time.monotonic()
    check_trackers(options.track)
    now("looking for the device")
    device = resolve_device(options.device)
    now("reading the data")
    data = load(options.data_spec)
    if not has_label(data.splits["train"].labels).any():
        raise DataError(
            options.data,
            expected="train rows with labels",
            found="none that has one",
            do="a teacher learns from labels: give some of the rows theirs",
        )
    now(f"loading {options.model}")
    checkpoint = locate(options.model)
    tokenizer = load_tokenizer(checkpoint)
    now("tokenising the texts")
    max_length = options.max_length or longest_by_default(tokenizer)
    examples = tokenise(data, tokenizer, max_length, keep_text=False)
    now(f"loading {options.model} with a head")
    teacher = load_for(checkpoint, data, max_length, tokenizer, device, options.seed)
    now("probing the model")
    with memory_advice("use --device cpu, or a shorter --max-length"):
        teacher.probe(examples["train"])
    automatic = "bfloat16" if natively_bfloat16(device) else "float32"
    dtype = automatic if options.dtype == "auto" else options.dtype
    log.info("fine-tuning %s on %s in %s", options.model, device, dtype)
    course = Course(options.epochs, options.batch_size, options.learning_rate, options.seed, dtype)
    trackers = Tracking.of(options).start(asdict(course)) if options.track else []

    def track(values: Mapping[str, float], step: int) -> None:
        with named():
            for tracker in trackers:
                tracker.log(dict(values), step=step)

    steps = fit(teacher, examples["train"], data.problem_type, course, track)
    scores = {}
    at_once = scored_at_once(options.batch_size)
    smaller = f"use --batch-size {at_once // 4}" if at_once >= 4 else "use --device cpu"
    for name, split in examples.items():
        if name != "train":
            with memory_advice(smaller), progress(len(split), name, "examples") as bar:
                logits = predictions(
                    counted(teacher.score, bar),
                    *(split, teacher.pad_id, len(teacher.columns)),
                    at_once=at_once,
                )
            now("computing metrics")
            scores[name] = metrics(logits, split.labels, data.problem_type)
            track({f"{name}/{key}": value for key, value in scores[name].items()}, steps)
    with named():
        for tracker in trackers:
            tracker.finish()
    seconds = time.monotonic() - began
    origin = {key.replace("teacher", "model"): value for key, value in checkpoint.about.items()}
    record: dict[str, Any] = {
        "about": {**data.about, **origin},
        "metric": data.metric,
        "course": asdict(course) | {"max_length": max_length, "steps": steps},
        "train_rows": len(examples["train"]),
        "validation": scores,
    }

    facts = TeacherFacts(
        about=record["about"],
        credits=credits_of(options),
        problem_type=data.problem_type,
        labels=data.label_names,
        two_texts=data.splits["train"].text_b is not None,
        train_rows=record["train_rows"],
        validation=scores,
        course=record["course"],
        seconds=seconds,
        device=device.type,
        command=options.command,
    )

    def write(folder: Path) -> None:
        with quiet():
            teacher.model.save_pretrained(folder)
        # Loaded again: the one that was used would save its padding and truncation.
        load_tokenizer(checkpoint).save_pretrained(folder)
        disk = publish.Root(folder)
        disk.replace(METRICS_FILE, dumps(record))
        disk.replace(MEMORY_FILE, _remembered(options, max_length).to_bytes())
        disk.replace(CARD, str(teacher_card(facts)).encode())

    now("saving the teacher")
    aside = unfinished / "teacher"
    with filled_aside(aside, write, lambda error: _unwritten(out, error)):
        check_output(out)
        publish.move(aside, out.resolve())
    following: str | None = None
    if options.data is None or isinstance(options.data, str | Path):
        following = build_command(options.task, out, len(examples["train"]))
    first = next(iter(scores))
    good, expected, found = against_guessing(
        scores[first], examples[first].labels, data.problem_type
    )
    if not good:
        following = None
        log.warning(
            "%s on %s: expected %s, found %s; train again with more --epochs or another "
            "--learning-rate",
            *(out, first, expected, found),
        )
    return Finetuned(out, scores, data.metric, seconds, following)


def _remembered(options: FinetuneOptions, max_length: int) -> Remembered:
    data = str(options.data) if isinstance(options.data, str | Path) else None
    shared = {name: getattr(options, name) for name in DATA_FIELDS}
    command = command_line("cache-teacher finetune", options, repeated=("track",), with_places=True)
    return Remembered(data=data, **shared, max_length=max_length, command=command)


def _unwritten(out: Path, error: Exception) -> OutputError:
    return OutputError(
        out,
        expected="to write the teacher",
        found=str(error)[:120],
        do="free space or choose another --out, then run it again",
    )
