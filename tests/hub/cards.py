"""What the Hub refuses in the metadata of a card, checked here: its `/api/validate-yaml` is remote.

    check_card((root / "README.md").read_text(), "dataset")

The rules are those that its documentation names (hub-docs, `modelcard.md` and `datasetcard.md`).
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData

LICENSES = re.compile(r"mit|other|unknown|(apache|cc|bsd|gpl|lgpl|agpl|mpl|odc|cdla)[a-z0-9.-]*")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")
REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
SIZES = re.compile(r"n<1K|1K<n<10K|10K<n<100K|100K<n<1M|1M<n<10M|10M<n<100M|100M<n<1B|n>1B")
METRICS = {"accuracy", "f1", "matthews_correlation", "pearsonr", "spearmanr", "mse"}


class RefusedCardError(ValueError):
    """The Hub answers 400 and says this."""


def check_card(text: str, kind: str) -> dict[str, Any]:
    """Return the metadata of a card that the Hub would take.

    Raises:
        RefusedCardError: Naming the field.
    """
    parts = text.split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        raise RefusedCardError("no metadata at the start")
    values = yaml.safe_load(parts[1])
    if not isinstance(values, dict):
        raise RefusedCardError("metadata must be a mapping")
    _check_common(values)
    if kind == "dataset":
        _check_dataset(values)
        data: Any = DatasetCardData(**values)
        loaded: Any = DatasetCard(text)
    else:
        _check_model(values)
        data, loaded = ModelCardData(**values), ModelCard(text)
    if loaded.data.to_dict() != data.to_dict() or "---" in loaded.text.splitlines():
        raise RefusedCardError("the library reads it differently")
    return dict(values)


def _check_common(values: dict[str, Any]) -> None:
    for code in _many(values.get("license")):
        _require("license", code, LICENSES)
    if "license_name" in values and values.get("license") != "other":
        raise RefusedCardError("license_name is for license: other")
    for code in _many(values.get("language")):
        _require("language", code, LANGUAGE)
    for tag in _many(values.get("tags")):
        _require("tags", tag, re.compile(r"[\w.:-]+"))


def _check_dataset(values: dict[str, Any]) -> None:
    for size in _many(values.get("size_categories")):
        _require("size_categories", size, SIZES)
    for source in _many(values.get("source_datasets")):
        _require("source_datasets", source, REPOSITORY)
    for category in _many(values["task_categories"]):
        _require("task_categories", category, re.compile("text-classification"))
    names = [config["config_name"] for config in values["configs"]]
    if len(set(names)) != len(names):
        raise RefusedCardError("configs must have different names")
    for config in values["configs"]:
        for files in config["data_files"]:
            for path in _many(files["path"]):
                _require("configs.path", path, re.compile(r"[\w./-]+"))


def _check_model(values: dict[str, Any]) -> None:
    _require("pipeline_tag", values["pipeline_tag"], re.compile("text-classification"))
    for name in (*_many(values.get("base_model")), *_many(values.get("datasets"))):
        _require("base_model, datasets", name, REPOSITORY)
    if not {*values["metrics"]} <= METRICS:
        raise RefusedCardError(f"metrics: {values['metrics']}")
    for index in values["model-index"]:
        if not isinstance(index["name"], str) or not index["name"]:
            raise RefusedCardError("model-index: a name is required")
        for result in index["results"]:
            if not {"type", "name"} <= result["dataset"].keys():
                raise RefusedCardError("model-index: dataset.type and dataset.name are required")
            for metric in result["metrics"]:
                if metric["type"] not in METRICS or not math.isfinite(metric["value"]):
                    raise RefusedCardError(f"model-index: {metric}")


def _many(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _require(field: str, value: object, pattern: re.Pattern[str]) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RefusedCardError(f"{field}: {value!r} is not allowed")
