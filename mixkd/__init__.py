"""mixkd: cache a text classifier's logits once, distil students from them as often as you like.

    cache = mixkd.Cache.open("shards/rte")
    result = mixkd.train(mixkd.TrainOptions(cache="shards/rte"))

`docs/api.md` shows each name at work. A name is imported when it is first used, so that
`import mixkd` takes neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixkd.shared import errors as errors
    from mixkd.shared.cache.claims import Finding as Finding
    from mixkd.shared.cache.claims import Unchecked as Unchecked
    from mixkd.shared.cache.claims import Verified as Verified
    from mixkd.shared.cache.facts import CacheFacts as CacheFacts
    from mixkd.shared.cache.facts import cache_facts as cache_facts
    from mixkd.shared.cache.reader import Cache as Cache
    from mixkd.shared.cache.repair import repair_cache as repair_cache
    from mixkd.shared.errors import MixkdError as MixkdError
    from mixkd.shared.examples import Examples as Examples
    from mixkd.shared.pairs import PairTable as PairTable
    from mixkd.student_train.finished.evaluation import evaluate as evaluate
    from mixkd.student_train.finished.predict import Prediction as Prediction
    from mixkd.student_train.finished.predict import predict as predict
    from mixkd.student_train.finished.result import Evaluation as Evaluation
    from mixkd.student_train.objective.distances import Distance as Distance
    from mixkd.student_train.objective.distances import register_distance as register_distance
    from mixkd.student_train.objective.terms import Rows as Rows
    from mixkd.student_train.objective.terms import Term as Term
    from mixkd.student_train.objective.terms import register_term as register_term
    from mixkd.student_train.options import TrainOptions as TrainOptions
    from mixkd.student_train.results import TrainResult as TrainResult
    from mixkd.student_train.results import read_metrics as read_metrics
    from mixkd.student_train.torch_data import Batches as Batches
    from mixkd.student_train.torch_data import collate as collate
    from mixkd.student_train.torch_data import mix_inputs as mix_inputs
    from mixkd.student_train.train import train as train
    from mixkd.teacher_cache.finetune import FinetuneOptions as FinetuneOptions
    from mixkd.teacher_cache.finetune import finetune as finetune
    from mixkd.teacher_cache.options import BuildOptions as BuildOptions
    from mixkd.teacher_cache.results import BuildResult as BuildResult
    from mixkd.teacher_cache.run import build_cache as build_cache
    from mixkd.teacher_cache.verify import verify_claims as verify_claims

_MODULES = {
    "mixkd.shared.cache.claims": ("Finding", "Unchecked", "Verified"),
    "mixkd.shared.cache.facts": ("CacheFacts", "cache_facts"),
    "mixkd.shared.cache.reader": ("Cache",),
    "mixkd.shared.cache.repair": ("repair_cache",),
    "mixkd.shared.errors": ("MixkdError",),
    "mixkd.shared.examples": ("Examples",),
    "mixkd.shared.pairs": ("PairTable",),
    "mixkd.student_train.finished.evaluation": ("evaluate",),
    "mixkd.student_train.finished.result": ("Evaluation",),
    "mixkd.student_train.objective.distances": ("Distance", "register_distance"),
    "mixkd.student_train.objective.terms": ("Rows", "Term", "register_term"),
    "mixkd.student_train.options": ("TrainOptions",),
    "mixkd.student_train.finished.predict": ("Prediction", "predict"),
    "mixkd.student_train.results": ("TrainResult", "read_metrics"),
    "mixkd.student_train.torch_data": ("Batches", "collate", "mix_inputs"),
    "mixkd.student_train.train": ("train",),
    "mixkd.teacher_cache.finetune": ("FinetuneOptions", "finetune"),
    "mixkd.teacher_cache.options": ("BuildOptions",),
    "mixkd.teacher_cache.results": ("BuildResult",),
    "mixkd.teacher_cache.run": ("build_cache",),
    "mixkd.teacher_cache.verify": ("verify_claims",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = ["errors", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("mixkd.shared.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'mixkd' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
