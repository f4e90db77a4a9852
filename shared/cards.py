"""What the cards of caches, teachers and students share: licences, languages, Hub ids, results.

The Hub refuses a card whose metadata it does not know, so what people or strangers wrote goes into
it only where it has the form that the Hub takes. Prose has it all, as text (`markdown.plain`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixkd.shared import files
from mixkd.shared.errors import printable, short
from mixkd.shared.markdown import listed
from mixkd.shared.options import check
from mixkd.shared.problem_types import MULTI_LABEL

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

# https://huggingface.co/docs/hub/repositories-licenses
LICENSES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0
    epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 intel-research isc lgpl
    lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0
    ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 other pddl postgresql unknown
    unlicense wtfpl zlib
    """.split()
)
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
LONGEST_LANGUAGE = 40
LONGEST_TEXT = 200
# Names of `shared.metrics` -> the Hub's, where they are different.
METRICS = {"macro_f1": "f1", "micro_f1": "f1", "pearson": "pearsonr", "spearman": "spearmanr"}
SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
)


def check_credits(license: str | None, author: str | None, language: str | None) -> None:
    """Refuse what cannot stand in a card.

    Raises:
        UsageError: Naming the option.
    """
    for name, text, example in (("license", license, "mit"), ("author", author, "a name")):
        if text is not None:
            valid = 0 < len(text) <= LONGEST_TEXT and text.isprintable() and text == text.strip()
            expected = f"one line of 1 to {LONGEST_TEXT} characters"
            check(name, short(printable(text)), valid, expected, f"give {example}, or leave it out")
    if language is not None:
        expected = "codes of languages, separated by commas"
        valid = languages(language) == language.split(",")
        check("language", short(printable(language)), valid, expected, "give en, or de,fr, …")


def credits_of(options: object) -> dict[str, str]:
    """Return those of licence, author and language that the options give."""
    given = {name: getattr(options, name) for name in ("license", "author", "language")}
    return {name: text for name, text in given.items() if text is not None}


def licence_fields(*texts: object) -> dict[str, Any]:
    """Return a card's `license`, of the first text that is one; `other` and a name if need be."""
    text = next((text for text in texts if isinstance(text, str) and text), None)
    if text is None:
        return {}
    known = [part.strip().lower().replace(" ", "-") for part in text.split(",")]
    if LICENSES.issuperset(known):
        return {"license": known[0] if len(known) == 1 else known}
    return {"license": "other", "license_name": short(printable(text))[:LONGEST_TEXT]}


def languages(text: object) -> list[str]:
    """Return the codes of languages in a text of several, separated by commas."""
    codes = [code.strip() for code in text.split(",")] if isinstance(text, str) else []
    return [c for c in codes if len(c) <= LONGEST_LANGUAGE and LANGUAGE.fullmatch(c)]


def hub_id(name: object, revision: object = None) -> str | None:
    """Return a name that is an id on the Hub: one with a revision, or with an owner.

    Args:
        name: As a user gave it, or as `about` has it, which names folders by their last part.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if not isinstance(name, str) or not (revision or "/" in name):
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def is_on_hub(name: str) -> bool:
    """Look whether a model that a user named is one of the Hub's: an existing folder wins."""
    return not files.exists(Path(name).expanduser()) and hub_id(name, name) is not None


def size_category(rows: int) -> str:
    """Return the Hub's name for so many rows."""
    return next((name for limit, name in SIZES if rows < limit), "n>1B")


def labels_line(names: Sequence[str], problem_type: str) -> str:
    """Return what a card says of labels: their names in the order of their numbers, as Markdown."""
    several = " (any number of them per text)" * (problem_type == MULTI_LABEL)
    return listed(names) + several if names else "a number (regression)"


def metric_id(name: str) -> str:
    """Return the Hub's name of a metric of `shared.metrics`."""
    return METRICS.get(name, name)


def eval_results(
    validation: Mapping[str, Mapping[str, float]], about: Mapping[str, Any]
) -> list[EvalResult]:
    """Return validation scores as a card's `model-index` has them.

    Args:
        validation: Split -> metric of `shared.metrics` -> score; what is not finite is left out.
        about: Of the data: `task`, and as far as known `data`, `data_config`, `data_revision`.
    """
    from huggingface_hub import EvalResult

    task = short(printable(about.get("task", "unknown")))
    data = hub_id(about.get("data"), about.get("data_revision"))
    more = {key: _text(about.get(f"data_{key}")) for key in ("config", "revision")} if data else {}
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Text Classification",
            dataset_type=data or task,
            dataset_name=task,
            dataset_config=more.get("config"),
            dataset_revision=more.get("revision"),
            dataset_split=split,
            metric_type=metric_id(name),
            metric_name=name.replace("_", " "),
            metric_value=round(value, 6),
        )
        for split, scores in validation.items()
        for name, value in scores.items()
        if math.isfinite(value)
    ]


def _text(value: object) -> str | None:
    return None if value is None else short(printable(value))
