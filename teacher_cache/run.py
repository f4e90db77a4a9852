"""`cache-teacher --task …`: from options to a sealed cache, in the order in which things can fail.

Examples, the teacher's files and the identity come first, so that a cache of something else is
refused before the teacher is loaded; then the teacher, its probe, an estimate, and the pass.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixkd.shared import plan, publish
from mixkd.shared.cache import facts as report
from mixkd.shared.cache.header import CacheFile, Identity, Split
from mixkd.shared.cache.reader import Cache, read_cache_file, read_unsealed_examples
from mixkd.shared.cache.sealing import check_unchanged, seal
from mixkd.shared.cache.writer import records
from mixkd.shared.canonical import dumps
from mixkd.shared.errors import DifferentCacheError, UsageError
from mixkd.shared.examples import Examples
from mixkd.shared.models.checkpoint import checkpoint_sha256, read_config
from mixkd.shared.models.locate import Checkpoint, locate
from mixkd.shared.models.tokenizer import check_vocabulary
from mixkd.shared.output import check_output
from mixkd.shared.pairs import PairTable
from mixkd.shared.progress import duration
from mixkd.teacher_cache.build import Job, build, missing_rows
from mixkd.teacher_cache.data.tasks import TASKS, headline
from mixkd.teacher_cache.gate import Gate
from mixkd.teacher_cache.labels import teacher_columns
from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.teacher import Teacher

log = logging.getLogger(__name__)

DEFAULTS: dict[str, Any] = {
    "beta": 0.4,
    "mask": "union",
    "seed": 0,
    "max_length": 128,
    "logits_dtype": "float32",
    "format": "arrow",
    "shard_rows": 4096,
}
BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}
CACHE_ENTRIES = {
    *("cache.json", "MANIFEST.json", "README.md", "examples", "tokenizer", "student_init"),
    *("data", "commits", "seals", "runs", "quarantine"),
}
DTYPE_PROBE_ROWS = 32
DTYPE_PROBE_MIXES = 64


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known before the teacher is loaded."""

    checkpoint: Checkpoint
    file: CacheFile
    examples: dict[str, Examples]
    new: bool


def cache_teacher(options: BuildOptions) -> dict[str, Any] | None:
    """Build, continue or extend a cache, and seal it.

    Returns:
        The cache in numbers (`report.facts`) and what this run did; None after `--dry-run`.

    Raises:
        CacheError: Of a class that names what is wrong; nothing that was there is overwritten.
    """
    prepared = prepare(options)
    job = _job(options, prepared)
    if not prepared.new and missing_rows(job) == 0:
        present = max((r.stop for r in records(job.root, "pairs", job.identity)), default=0)
        asked = "%s holds %d pairs, %d were asked for: nothing to do"
        log.info(asked, job.root, present, job.pairs)
        seal(job.root)
        return report.facts(Cache.open(job.root))
    teacher = _load(options, prepared)
    job = _with_teacher(job, options, prepared, teacher)
    rows = job.target("originals") + job.pairs if prepared.new else missing_rows(job)
    _tell_estimate(job, teacher, rows)
    if options.dry_run:
        return None
    limit = options.time_limit_s
    gate = Gate(
        teacher=prepared.checkpoint.name,
        identity=job.identity,
        examples=job.examples,
        metric=str(job.file.about["metric"]),
        minimum=options.min_teacher_score,
    )
    built = build(job, teacher.score, gate, time.monotonic() + limit if limit else float("inf"))
    if not built.complete:
        log.info("the time limit came first; the same command continues")
    if built.rows_lost:
        log.info("%d rows were computed by another builder as well", built.rows_lost)
    seal(job.root)
    done = {
        "rows": built.rows,
        "rows_lost": built.rows_lost,
        "seconds": round(built.seconds, 3),
        "rows_per_second": round(built.rows / built.seconds, 3),
        "complete": built.complete,
        "made": job.made,
    }
    _note_run(job.root, done)
    return {**report.facts(Cache.open(job.root)), "run": done}


def prepare(options: BuildOptions) -> Prepared:
    """Examples and identity, compared with what the output holds.

    Raises:
        DifferentCacheError: Naming the fields that differ.
    """
    root = options.root
    there = _existing(root)
    checkpoint = locate(_teacher_name(options))
    config = read_config(checkpoint)
    settings = {name: _setting(options, name, there) for name in DEFAULTS}
    if there:
        check_unchanged(root, there.identity)
    if there and not options.names_data:
        log.info("continuing %s: examples and settings are those of the cache", root)
        examples, about = read_unsealed_examples(root, there.identity), dict(there.about)
        problem_type, names = there.identity.problem_type, there.identity.label_names
        texts = {split.name: split.texts_sha256 for split in there.identity.splits}
    else:
        from mixkd.shared.models.tokenizer import load_tokenizer
        from mixkd.teacher_cache.data.encode import tokenise
        from mixkd.teacher_cache.data.load import load

        data = load(options.data_spec)
        problem_type, names, about = data.problem_type, data.label_names, dict(data.about)
        texts = data.texts_sha256()
        tokenizer = load_tokenizer(checkpoint)
        if options.max_length is None and there is None:
            settings["max_length"] = min(DEFAULTS["max_length"], tokenizer.model_max_length)
        examples = tokenise(data, tokenizer, settings["max_length"], options.text)
    columns = teacher_columns(
        checkpoint.name, config, problem_type, names, _teacher_labels(options, there)
    )
    identity = Identity(
        problem_type=problem_type,
        label_names=tuple(names),
        splits=tuple(
            Split(name, len(rows), texts[name], rows.ids_sha256())
            for name, rows in examples.items()
        ),
        teacher_sha256=checkpoint_sha256(checkpoint),
        teacher_columns=columns,
        max_length=settings["max_length"],
        beta=float(settings["beta"]),
        mask=settings["mask"],
        seed=settings["seed"],
        logits_dtype=settings["logits_dtype"],
    )
    identity.check(root)
    about |= {**checkpoint.about, "shard_format": settings["format"]}
    about.setdefault("metric", headline(options.task, problem_type))
    file = CacheFile(identity, settings["shard_rows"], about)
    if there:
        _check_same(root, file, there)
        file = there
    return Prepared(checkpoint, file, examples, new=there is None)


def _existing(root: Path) -> CacheFile | None:
    entries = check_output(
        root,
        lambda name: name in CACHE_ENTRIES or publish.is_temporary(name),
        expected="a new or empty folder, or a cache",
    )
    return read_cache_file(root) if "cache.json" in entries else None


def _teacher_name(options: BuildOptions) -> str:
    if options.teacher:
        return options.teacher
    if options.task in TASKS:
        return TASKS[options.task].teacher
    raise UsageError(
        "--teacher",
        expected=f"a fine-tuned model for the task {options.task}",
        found="none",
        do="name a folder or a Hub id, or make one with: cache-teacher finetune",
    )


def _teacher_labels(options: BuildOptions, there: CacheFile | None) -> tuple[int, ...] | None:
    """As asked for, else as in the cache, else the order known for the task's default teacher."""
    if options.teacher_labels is not None:
        return options.teacher_labels
    if there:
        return there.identity.teacher_columns
    if options.teacher is None and options.task in TASKS:
        return TASKS[options.task].teacher_labels
    return None


def _setting(options: BuildOptions, name: str, there: CacheFile | None) -> Any:
    """An option's value: as asked for, else as in the cache, else the default."""
    asked = getattr(options, name)
    if asked is not None:
        return asked
    if there is None:
        return DEFAULTS[name]
    if name == "format":
        return there.about["shard_format"]
    return there.shard_rows if name == "shard_rows" else getattr(there.identity, name)


def _check_same(root: Path, file: CacheFile, there: CacheFile) -> None:
    differences = file.identity.differences(there.identity)
    for name, mine, theirs in (
        ("shard_rows", file.shard_rows, there.shard_rows),
        ("format", file.about["shard_format"], there.about["shard_format"]),
    ):
        if mine != theirs:
            differences.append(f"{name} {mine} (there: {theirs})")
    if differences:
        raise DifferentCacheError(
            root,
            expected="no cache, or one of the same identity",
            found=f"one that differs in {'; '.join(differences)}",
            do="choose another --out, or repeat the settings that it was made with",
        )


def _job(options: BuildOptions, prepared: Prepared) -> Job:
    """The build, as far as it is known without the teacher."""
    return Job(
        root=options.root,
        file=prepared.file,
        examples=prepared.examples,
        files={},
        pairs=options.pairs,
        batch_tokens=options.batch_tokens or BATCH_TOKENS["cpu"],
        pad_id=0,
        made={},
    )


def _load(options: BuildOptions, prepared: Prepared) -> Teacher:
    from mixkd.shared.models.tokenizer import load_tokenizer

    identity = prepared.file.identity
    longest = max(int(rows.lengths.max()) for rows in prepared.examples.values())
    tokenizer = load_tokenizer(prepared.checkpoint)
    teacher = Teacher.load(
        prepared.checkpoint,
        identity.teacher_columns,
        mask=identity.mask,
        max_length=longest,
        tokenizer_pad_id=tokenizer.pad_token_id,
        device=options.device,
    )
    check_vocabulary(  # students would inherit both
        teacher.name,
        tokenizer,
        teacher.model.get_input_embeddings().weight.shape[0],
        do="call model.resize_token_embeddings(len(tokenizer)) and save the model again",
    )
    train = prepared.examples["train"]
    teacher.probe(train)
    some = np.linspace(0, len(train) - 1, min(DTYPE_PROBE_ROWS, len(train))).astype(np.int64)
    difference = teacher.choose_dtype(options.dtype, train.originals(some, teacher.pad_id))
    if teacher.dtype != "float32":
        # Mixes lie between examples, where a teacher is less sure: the format moves them more.
        first = plan.pairs(
            0, DTYPE_PROBE_MIXES, examples=len(train), seed=identity.seed, beta=identity.beta
        )
        mixes = train.mixes(first, teacher.pad_id)
        difference = max(difference, teacher.difference(mixes))
    prepared.file.about.setdefault("dtype_difference", difference)
    return teacher


def _with_teacher(job: Job, options: BuildOptions, prepared: Prepared, teacher: Teacher) -> Job:
    """The build with what the loaded teacher adds: pad id, provenance, tokenizer and starts."""
    import torch
    import transformers

    files: dict[str, bytes] = {}
    if prepared.new:
        from mixkd.shared.models.tokenizer import load_tokenizer, tokenizer_files
        from mixkd.teacher_cache.starts import student_depths, student_start

        for name, data in tokenizer_files(load_tokenizer(prepared.checkpoint)).items():
            files[f"tokenizer/{name}"] = data
        for depth in student_depths(teacher.model, options.student_layers):
            for name, data in student_start(teacher.model, depth).items():
                files[f"student_init/{depth}-layers/{name}"] = data
    return replace(
        job,
        files=files,
        batch_tokens=options.batch_tokens or BATCH_TOKENS.get(teacher.device.type, 8192),
        pad_id=teacher.pad_id,
        made={
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "device": _device_name(teacher),
            "dtype": teacher.dtype,
        },
    )


def _device_name(teacher: Teacher) -> str:
    import torch

    if teacher.device.type == "cuda":
        return str(torch.cuda.get_device_name(teacher.device))
    return str(teacher.device.type)


def _tell_estimate(job: Job, teacher: Teacher, rows: int) -> None:
    """Rows, bytes and minutes, from the speed of one batch of rows of usual lengths."""
    train = job.examples["train"]
    left, right = np.random.default_rng(0).integers(0, len(train), (2, 1024))
    widths = np.maximum(train.lengths[left], train.lengths[right])
    usual = np.argsort(widths, kind="stable")[len(widths) // 2 :]
    count = int(max(1, min(job.batch_tokens // widths[usual[0]], len(usual), 256)))
    chosen = usual[:count]
    pairs = PairTable(left[chosen], right[chosen], np.full(count, 0.5, np.float32))
    batch = train.mixes(pairs, job.pad_id)
    teacher.score(batch)  # the first batch pays for start-up
    began = time.monotonic()
    teacher.score(batch)
    seconds_a_token = (time.monotonic() - began) / batch.left_ids.size
    expected = rows * float(widths.mean()) * seconds_a_token
    row_bytes = job.identity.layout("pairs", 0, 1).row_bytes
    log.info(
        "to do: %d rows, about %d bytes of shards, about %s on %s in %s",
        *(rows, rows * row_bytes, duration(expected), teacher.device, teacher.dtype),
    )


def _note_run(root: Path, done: dict[str, Any]) -> None:
    """Provenance for people: covered by no digest."""
    publish.folder(root / "runs")
    publish.create(root / "runs" / f"{uuid.uuid4()}.json", dumps(done))
