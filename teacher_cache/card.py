"""The model card of a fine-tuned teacher: what it is, how it was trained, how it scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixkd.shared.cards import (
    eval_results,
    hub_id,
    labels_line,
    languages,
    licence_fields,
    metric_id,
)
from mixkd.shared.markdown import plain

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

CARD = "README.md"
CONTENT = """\
---
{data}
---

# A teacher for {task}

The pretrained model {model}, fine-tuned on {train_rows:,} examples of {task} by mixkd. It is what
`cache-teacher` runs once over examples and mixup pairs, so that students can be trained from its
logits.

- labels: {labels}
{facts}

## Use

```python
from transformers import pipeline

classify = pipeline("text-classification", "path/to/this/folder")
classify([{text}], truncation=True, max_length={max_length})
```

```sh
cache-teacher --task TASK --data DATA --teacher path/to/this/folder --pairs 50000
```

## Scores on validation

| metric | {splits} |
|---|{columns}
{rows}

## Training

```sh
{command}
```

{steps:,} steps of AdamW in {seconds:.0f} seconds on {device} in {dtype}: epochs {epochs}, batches
of {batch_size}, highest learning rate {learning_rate:g}, seed {seed}, texts of at most {max_length}
tokens. The same settings are in `metrics.json`.
"""
# What the data and the model say of themselves, in the card's order.
NAMES = {
    "model_revision": "revision of the pretrained model",
    "data": "data",
    "data_config": "configuration of the data",
    "data_revision": "revision of the data",
    "data_version": "version of the data",
    "data_license": "licence of the data",
    "subset": "part of the train rows that was used",
    "held_out": "rows held out of train for validation",
}


@dataclass(frozen=True, slots=True)
class TeacherFacts:
    """What the card of a teacher says.

    Attributes:
        about: Names of task, data and pretrained model, with revisions; no local path.
        credits: Licence, author and language, as far as they were given.
        labels: Names in the order of class numbers; empty for regression.
        two_texts: Whether an example is a pair of texts.
        validation: Split -> metric -> score.
        course: How it was trained: `metrics.json`'s.
    """

    about: dict[str, Any]
    credits: dict[str, str]
    problem_type: str
    labels: tuple[str, ...]
    two_texts: bool
    train_rows: int
    validation: dict[str, dict[str, float]]
    course: dict[str, Any]
    seconds: float
    device: str
    command: str


def teacher_card(facts: TeacherFacts) -> ModelCard:
    """Write the card."""
    from huggingface_hub import ModelCard, ModelCardData

    about, credits, course = facts.about, facts.credits, facts.course
    source = hub_id(about.get("data"), about.get("data_revision"))
    names = list(dict.fromkeys(name for scores in facts.validation.values() for name in scores))
    data = ModelCardData(
        **licence_fields(credits.get("license")),
        language=languages(credits.get("language", about.get("data_language"))) or None,
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=hub_id(about.get("model"), about.get("model_revision")),
        datasets=[source] if source else None,
        metrics=list(dict.fromkeys(map(metric_id, names))),
        tags=["mixkd", "knowledge-distillation"],
        model_name=f"teacher for {about['task']}",
        eval_results=eval_results(facts.validation, about),
    )
    told = [(NAMES[name], about[name]) for name in NAMES if name in about]
    told += [(name, credits[name]) for name in ("author", "license") if name in credits]
    return ModelCard(
        CONTENT.format(
            data=data.to_yaml(),
            task=plain(about["task"]),
            model=plain(about["model"]),
            train_rows=facts.train_rows,
            labels=labels_line(facts.labels, facts.problem_type),
            facts="\n".join(f"- {name}: {plain(value)}" for name, value in told),
            text='{"text": "a text", "text_pair": "another"}' if facts.two_texts else '"a text"',
            splits=" | ".join(map(plain, facts.validation)),
            columns="---|" * len(facts.validation),
            rows="\n".join(_row(name, facts.validation) for name in names),
            command=facts.command,
            seconds=facts.seconds,
            device=facts.device,
            **course,
        )
    )


def _row(name: str, validation: dict[str, dict[str, float]]) -> str:
    scores = (f"{scores[name]:.4f}" if name in scores else "" for scores in validation.values())
    return f"| {plain(name.replace('_', ' '))} | {' | '.join(scores)} |"
