"""The model card of a student: what it is, how it was trained, how it scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixkd.shared.cards import (
    eval_results,
    hub_id,
    labels_line,
    languages,
    licence_fields,
    metric_id,
)
from mixkd.shared.errors import printable, short
from mixkd.shared.markdown import plain
from mixkd.student_train.report import fact_rows, kept, metric_rows

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

    from mixkd.student_train.results import TrainResult, Validation

CONTENT = """\
---
{data}
---

# A student for {task}

A `{model_type}` of {parameters:,} parameters, trained by mixkd with the method `{method}` from
cached logits of {teachers}.

- labels: {labels}
{facts}

## Use

```python
from transformers import pipeline

classify = pipeline("text-classification", "path/to/this/folder")
classify([{text}], truncation=True, max_length={max_length})
```

It was trained on texts of at most {max_length} tokens; longer ones are cut there.

## Scores

| {kept} | teacher | student |
|---|---|---|
{rows}

Rows named after the teacher compare the student with it (`teacher kl` is a divergence in nats, 0
for equal answers), the others with the labels.

{verdict}

## Training

```sh
{command}
```

{steps:,} steps in {seconds:.0f} seconds on {device} in {dtype}, seed {seed}, on {pairs_seen:,} of
the cache's {pairs_in_cache:,} mixup pairs. Cache seal `{seal}`. All settings, the versions of the
libraries and the history are in `metrics.json`.
"""
# Names of what the cache says, in the card's order.
NAMES = {
    "teacher_revision": "revision of the teacher",
    "data": "data",
    "data_config": "configuration of the data",
    "data_revision": "revision of the data",
    "subset": "part of the train rows that was used",
    "data_license": "licence of the data",
}


def model_card(result: TrainResult) -> ModelCard:
    """Write the card of a trained student."""
    from huggingface_hub import ModelCard, ModelCardData

    about, credits = result.card.about, result.card.credits
    two_texts, scores = result.card.two_texts, _against_labels(result.metrics)
    source = hub_id(about.get("data"), about.get("data_revision"))
    language = credits.get("language") or about.get("language") or about.get("data_language")
    data = ModelCardData(
        **licence_fields(credits.get("license")),
        language=languages(language) or None,
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=hub_id(result.card.base_model, revision="main"),
        datasets=[source] if source else None,
        metrics=list(dict.fromkeys(metric_id(name) for each in scores.values() for name in each)),
        tags=["knowledge-distillation", "mixkd"],
        model_name=f"student for {short(printable(result.task or 'text'))}",
        eval_results=eval_results(scores, {"task": result.task or "unknown", **about}),
    )
    rows = (*metric_rows(result), *fact_rows(result))
    return ModelCard(
        CONTENT.format(
            data=data.to_yaml(),
            task=plain(result.task or "text classification"),
            model_type=result.student.model_type,
            parameters=result.student.parameters,
            method=result.settings.method,
            teachers=", ".join(plain(cache.teacher) for cache in result.caches),
            labels=labels_line(result.student.labels, result.student.problem_type),
            facts="\n".join(f"- {name}: {text}" for name, text in _facts(result)),
            text='{"text": "a text", "text_pair": "another"}' if two_texts else '"a text"',
            max_length=result.settings.max_length,
            kept=kept(result),
            rows="\n".join(f"| {' | '.join(map(plain, row))} |" for row in rows),
            verdict=plain(result.verdict.summary),
            command=result.card.command,
            steps=result.steps,
            seconds=result.seconds,
            device=result.settings.device_used,
            dtype=result.settings.dtype_used,
            seed=result.settings.seed,
            pairs_seen=result.pairs_seen,
            pairs_in_cache=result.pairs_in_cache,
            seal=result.seal[:12],
        )
    )


def _facts(result: TrainResult) -> list[tuple[str, str]]:
    """Give names and values, as Markdown, in the order in which the card has them."""
    about, credits = result.card.about, result.card.credits
    facts = [("started from", plain(result.student.start))]
    facts += [(shown, plain(about[name])) for name, shown in NAMES.items() if name in about]
    facts += [(name, plain(credits[name])) for name in ("author", "license") if name in credits]
    return facts


def _against_labels(validation: Validation) -> Validation:
    """Leave out what compares with the teacher, and calibration: the Hub has no such metrics."""
    return {
        split: {
            name: value
            for name, value in metrics.items()
            if not name.startswith("teacher_") and name != "calibration_error"
        }
        for split, metrics in validation.items()
    }
