"""The model card of a student: what it is, how it was trained, how it scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixkd.shared.markdown import plain
from mixkd.student_train.report import metric_rows

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

    from mixkd.student_train.results import TrainResult

CONTENT = """\
---
{data}
---

# A student for {task}

A `{model_type}` of {parameters:,} parameters, trained with the method `{method}` from cached logits
of {teachers}. Labels: {labels}.

```python
from transformers import pipeline

classify = pipeline("text-classification", "path/to/this/folder")
classify(["a text"], truncation=True, max_length={max_length})
```

| metric (validation, last epoch) | teacher | student |
|---|---|---|
{rows}

Trained for {steps:,} steps in {seconds:.0f} seconds on {pairs_seen:,} of the cache's
{pairs_in_cache:,} mixup pairs. Cache seal `{seal}`. All settings, the best epoch and the history
are in `metrics.json`.
"""


def model_card(result: TrainResult) -> ModelCard:
    """Write the card of a trained student."""
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["knowledge-distillation", "mixkd"],
    )
    rows = "\n".join(f"| {' | '.join(row)} |" for row in metric_rows(result))
    content = CONTENT.format(
        data=data.to_yaml(),
        task=plain(result.task or "text classification"),
        model_type=result.student.model_type,
        parameters=result.student.parameters,
        method=result.settings.method,
        teachers=", ".join(plain(cache.teacher) for cache in result.caches),
        labels=", ".join(plain(label) for label in result.student.labels),
        max_length=result.settings.max_length,
        rows=rows,
        steps=result.steps,
        seconds=result.seconds,
        pairs_seen=result.pairs_seen,
        pairs_in_cache=result.pairs_in_cache,
        seal=result.seal[:12],
    )
    return ModelCard(content)
