"""A student's model from a folder that may be anyone's: checked, loaded, given the labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mixkd.shared.cache.header import Identity
from mixkd.shared.errors import LabelOrderError, MalformedError, ModelError
from mixkd.shared.models.files import quiet
from mixkd.shared.models.untrusted import (
    check_folder,
    check_numbers,
    check_shapes,
    read_json,
    tensor_shapes,
)

log = logging.getLogger(__name__)


def load_model(folder: Path, identity: Identity, seed: int, foreign: bool) -> Any:
    """A sequence classifier with the cache's labels, in float32; a missing head is initialised.

    Args:
        foreign: Given by the user, so that it may have a trained head of its own.
    """
    import transformers

    classifiers: Any = transformers.AutoModelForSequenceClassification

    check_folder(folder)
    shapes = tensor_shapes(folder)
    file = folder / "config.json"
    raw = read_json(file)
    check_numbers(raw, shapes, file)
    with as_malformed(file), quiet():
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if foreign:
            _check_label_order(folder, config, raw, identity)
        config.id2label = dict(enumerate(identity.label_names or ("score",)))
        config.label2id = {label: number for number, label in config.id2label.items()}
        config.problem_type = identity.problem_type
        with torch.device("meta"):
            outline = classifiers.from_config(config)
    wanted = {key: tuple(value.shape) for key, value in outline.named_parameters()}
    check_shapes(wanted, f"{outline.base_model_prefix}.", shapes, file)
    torch.manual_seed(seed)
    with as_malformed(folder), quiet():
        model, report = classifiers.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    _check_report(folder, model, report)
    return model.eval()


def _check_label_order(
    folder: Path, config: Any, raw: Mapping[str, Any], identity: Identity
) -> None:
    """Refuse a trained head whose columns mean the cache's labels in another order."""
    trained = any("SequenceClassification" in name for name in raw.get("architectures") or ())
    names = tuple(config.id2label[number] for number in sorted(config.id2label))
    if trained and names != identity.label_names and set(names) == set(identity.label_names):
        raise LabelOrderError(
            folder,
            expected=f"labels in the cache's order: {', '.join(identity.label_names)}",
            found=", ".join(names),
            do="use a student without a trained head, such as its base model",
        )


def _check_report(folder: Path, model: Any, report: Mapping[str, Any]) -> None:
    """Refuse an encoder with weights that were made up; say that the head's were."""
    made_up = {*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])}
    prefix = f"{model.base_model_prefix}."
    encoder = sorted(key for key in made_up if key.startswith(prefix) and "pooler" not in key)
    if encoder:
        raise ModelError(
            folder,
            expected="all weights of the encoder",
            found=f"none for {encoder[0]} and {len(encoder) - 1} more",
            do="use a complete encoder",
        )
    if made_up:
        log.debug("initialised under the seed: %s", ", ".join(sorted(made_up)))


@contextmanager
def as_malformed(where: Path) -> Iterator[None]:
    """`transformers` meets a hostile or broken folder with exceptions of every kind."""
    try:
        yield
    except (LabelOrderError, MemoryError):
        raise
    except BaseException as error:
        # Rust code panics with a class of its own, which is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise MalformedError(
            where,
            expected="a model or tokenizer that transformers loads",
            found=f"{type(error).__name__}: {str(error)[:120]}",
            do="check the folder; it needs a known model type, safetensors and no foreign code",
        ) from error
