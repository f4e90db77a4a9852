"""Cut a student's starting point: the teacher's embeddings and some of its encoder layers, no head.

Which layers is a choice (`mixkd.shared.cache.starts`); `docs/results.md` shows what it is worth.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mixkd.shared.cache.starts import DEFAULT_RULE, DEPTH_LIMIT, Layers, Rule, layers_by, listed
from mixkd.shared.errors import ModelError, UsageError
from mixkd.shared.models.quietly import first_line, quiet
from mixkd.shared.output import scratch_folder

FILE_NAME = re.compile(r"[A-Za-z0-9._-]+\.(json|safetensors)")
OF_A_LAYER = re.compile(r"\blayers?\.\d+\.")
FLOAT32_BYTES = 4
# What a config says about a head or about where it came from.
HEAD_SETTINGS = ("id2label", "label2id", "problem_type", "finetuning_task")


def choose_starts(
    model: Any,
    requested: Sequence[int | Layers] | None = None,
    rules: Sequence[Rule] | None = None,
) -> tuple[Layers, ...]:
    """List the starting points to make, the deepest last.

    Args:
        requested: Depths, or the layers themselves; None is half the teacher's depth.
        rules: How layers are chosen for a depth. None is the default, or `first` for a teacher
            whose layers are not modules of their own, as ALBERT's are not.

    Raises:
        ModelError: If the teacher has fewer layers, or does not say how many.
        UsageError: If a depth is below 1.
    """
    if requested is not None and not len(requested):
        return ()
    total = getattr(model.config, "num_hidden_layers", None)
    if not isinstance(total, int):
        raise _uncuttable(model, "no number of layers in its config")
    if rules is None:
        rules = (DEFAULT_RULE if _layer_lists(model) else "first",)
    chosen: set[Layers] = set()
    for start in (max(1, total // 2),) if requested is None else requested:
        _check(start, total)
        chosen |= (
            {start} if isinstance(start, tuple) else {layers_by(r, start, total) for r in rules}
        )
    return tuple(sorted(chosen, key=lambda layers: (len(layers), layers)))


def student_start(model: Any, layers: Layers) -> dict[str, bytes]:
    """Make the files of a starting point, by name; a function of its input.

    `AutoModelForSequenceClassification.from_pretrained` initialises a head randomly.

    Args:
        layers: Of the teacher, from 0 on, ascending.

    Raises:
        ModelError: If the teacher has not these layers, or cannot be cut.
    """
    choose_starts(model, [layers])
    encoder = _cut(model, layers)
    with scratch_folder() as folder:
        with quiet():
            encoder.save_pretrained(folder)
        files = sorted(folder.iterdir())
        return {file.name: file.read_bytes() for file in files if FILE_NAME.fullmatch(file.name)}


def start_bytes(model: Any, layers: Layers) -> int:
    """Estimate the size of a starting point's weights: all but the layers that are left out."""
    total, of_layers, depth = 0, 0, int(model.config.num_hidden_layers)
    for name, weight in model.base_model.named_parameters():
        total += weight.numel() * FLOAT32_BYTES
        of_layers += weight.numel() * FLOAT32_BYTES if OF_A_LAYER.search(name) else 0
    return total - of_layers + of_layers * len(layers) // depth


def _check(start: int | Layers, total: int) -> None:
    half = f"use --student-layers {max(1, total // 2)}"
    numbers = start if isinstance(start, tuple) else (start - 1,)
    if min(numbers, default=-1) < 0 or list(numbers) != sorted({*numbers}):
        raise UsageError(
            "--student-layers",
            expected="depths of 1 and more, ascending layers such as 0-2-5, or none",
            found=listed(start) if isinstance(start, tuple) else start,
            do=half,
        )
    if numbers[-1] >= total:
        raise ModelError(
            "--student-layers",
            expected=f"at most {total}, the teacher's layers, counted from 0 in a list",
            found=listed(start) if isinstance(start, tuple) else start,
            do=half,
        )
    if (depth := len(start) if isinstance(start, tuple) else start) > DEPTH_LIMIT:
        raise ModelError(
            "--student-layers", expected=f"at most {DEPTH_LIMIT}", found=depth, do=half
        )


def _cut(model: Any, layers: Layers) -> Any:
    """Copy the teacher's layers into an encoder of the shape that its class would build."""
    from transformers import AutoModelForSequenceClassification, PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise _uncuttable(model, "a class of its own")
    if layers != tuple(range(len(layers))) and not _layer_lists(model):
        raise _uncuttable(model, "layers that share weights", "use --starts first")
    config = _cut_config(model, layers)
    build: Any = AutoModelForSequenceClassification.from_config
    try:
        encoder = build(config).base_model
    except ValueError as error:
        raise _uncuttable(model, first_line(error)) from error
    weights = _renumbered(model, layers)
    try:
        encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise _uncuttable(model, f"no fitting weights: {first_line(error)}") from error
    for name in HEAD_SETTINGS:
        vars(encoder.config).pop(name, None)
    return encoder


def _layer_lists(model: Any) -> list[str]:
    """Name what the encoder has one of per layer, such as `encoder.layer`."""
    from torch.nn import ModuleList

    if hasattr(model.config, "num_hidden_groups"):
        return []  # ALBERT: a list of groups that layers share
    depth = model.config.num_hidden_layers
    named = getattr(model, "base_model", model).named_modules()
    return [name for name, each in named if isinstance(each, ModuleList) and len(each) == depth]


def _renumbered(model: Any, layers: Layers) -> Mapping[str, Any]:
    """Return the encoder's tensors, those of layer `layers[k]` under the name of layer k."""
    weights: dict[str, Any] = model.base_model.state_dict()
    for each in _layer_lists(model):
        numbered = re.compile(rf"({re.escape(each)}\.)(\d+)(\..+)")
        weights = {
            f"{match[1]}{layers.index(int(match[2]))}{match[3]}" if match else name: tensor
            for name, tensor in weights.items()
            if not (match := numbered.fullmatch(name)) or int(match[2]) in layers
        }
    return weights


def _cut_config(model: Any, layers: Layers) -> Any:
    config = copy.deepcopy(model.config)
    depth, count = config.num_hidden_layers, len(layers)
    config.num_hidden_layers = count
    for name, value in vars(config).items():
        # ModernBERT and others keep one entry per layer.
        if name.endswith("layer_types") and isinstance(value, list | tuple):
            setattr(config, name, [value[layer] for layer in layers])
    groups = getattr(config, "num_hidden_groups", 1)
    if groups > 1:
        # ALBERT: layer i is in group i * groups // depth, of the first layers as of all.
        if count * groups % depth:
            raise _uncuttable(model, f"{groups} groups of layers, which {count} layers would split")
        config.num_hidden_groups = count * groups // depth
    return config


def _uncuttable(model: Any, found: str, do: str | None = None) -> ModelError:
    return ModelError(
        type(model).__name__,
        expected="a teacher whose layers can be cut out",
        found=found,
        do=do or "use --student-layers none and give the students a model with --student",
    )
