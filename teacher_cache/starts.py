"""Cut a student's starting point: the teacher's embeddings and first encoder layers, no head.

Patient Knowledge Distillation (Sun et al., EMNLP 2019, arXiv 1908.09355) and MixKD start students
from the teacher's first layers.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from mixkd.shared.errors import ModelError, UsageError
from mixkd.shared.models.quietly import first_line, quiet
from mixkd.shared.output import scratch_folder

FILE_NAME = re.compile(r"[A-Za-z0-9._-]+\.(json|safetensors)")
# What a config says about a head or about where it came from.
HEAD_SETTINGS = ("id2label", "label2id", "problem_type", "finetuning_task")


def student_depths(model: Any, requested: Sequence[int] | None) -> tuple[int, ...]:
    """List the layers of the starting points to make, ascending; by default half the teacher's.

    Raises:
        ModelError: If the teacher has fewer layers, or does not say how many.
        UsageError: If a number is below 1.
    """
    if requested is not None and not len(requested):
        return ()
    depth = getattr(model.config, "num_hidden_layers", None)
    if not isinstance(depth, int):
        raise _uncuttable(model, "no number of layers in its config")
    if requested is None:
        return (max(1, depth // 2),)
    for layers in requested:
        if layers < 1:
            raise UsageError(
                "--student-layers",
                expected="numbers of 1 and more, or none",
                found=layers,
                do=f"use --student-layers {max(1, depth // 2)}",
            )
        if layers > depth:
            raise ModelError(
                "--student-layers",
                expected=f"at most {depth}, the teacher's layers",
                found=layers,
                do=f"use --student-layers {max(1, depth // 2)}",
            )
    return tuple(sorted(set(requested)))


def student_start(model: Any, layers: int) -> dict[str, bytes]:
    """Make the files of a starting point with `layers` layers, by name; a function of its input.

    `AutoModelForSequenceClassification.from_pretrained` initialises a head randomly.

    Raises:
        ModelError: If the teacher has fewer layers, or cannot be cut.
    """
    (layers,) = student_depths(model, [layers])
    encoder = _cut(model, layers)
    with scratch_folder() as folder:
        with quiet():
            encoder.save_pretrained(folder)
        files = sorted(folder.iterdir())
        return {file.name: file.read_bytes() for file in files if FILE_NAME.fullmatch(file.name)}


def _cut(model: Any, layers: int) -> Any:
    """Copy the teacher's first layers into an encoder of the shape that its class would build."""
    from transformers import AutoModelForSequenceClassification, PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise _uncuttable(model, "a class of its own")
    config = _cut_config(model, layers)
    build: Any = AutoModelForSequenceClassification.from_config
    try:
        encoder = build(config).base_model
    except ValueError as error:
        raise _uncuttable(model, first_line(error)) from error
    weights = model.base_model.state_dict()
    try:
        encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise _uncuttable(model, f"no fitting weights: {first_line(error)}") from error
    for name in HEAD_SETTINGS:
        vars(encoder.config).pop(name, None)
    return encoder


def _cut_config(model: Any, layers: int) -> Any:
    config = copy.deepcopy(model.config)
    depth = config.num_hidden_layers
    config.num_hidden_layers = layers
    for name, value in vars(config).items():
        # ModernBERT and others keep one entry per layer.
        if name.endswith("layer_types") and isinstance(value, list | tuple):
            setattr(config, name, value[:layers])
    groups = getattr(config, "num_hidden_groups", 1)
    if groups > 1:
        # ALBERT: layer i is in group i * groups // depth, of the first layers as of all.
        if layers * groups % depth:
            raise _uncuttable(
                model, f"{groups} groups of layers, which {layers} layers would split"
            )
        config.num_hidden_groups = layers * groups // depth
    return config


def _uncuttable(model: Any, found: str) -> ModelError:
    return ModelError(
        type(model).__name__,
        expected="a teacher whose first layers are a model of their own",
        found=found,
        do="use --student-layers none and give the students a model with --student",
    )
