"""The tables of the objective as Markdown, for `docs/choosing.md`.

python -m mixkd.student_train.objective.tables
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mixkd.shared.problem_types import MULTI_LABEL
from mixkd.student_train.objective.distances import DISTANCES
from mixkd.student_train.objective.terms import PRESETS, TERMS, Term


def objective_table() -> str:
    """Return the weights of each method, one row per method and one column per term."""
    rows = [
        [f"`{method}`", *(f"{weights.get(name, 0):g}" for name in TERMS)]
        for method, weights in PRESETS.items()
    ]
    return _markdown(["`--method`", *TERMS], rows)


def terms_table() -> str:
    """Return what each term is, one row per term."""
    rows = [
        [f"`--alpha-{term.name}`", term.part, _reads(term), term.help] for term in TERMS.values()
    ]
    return _markdown(["weight", "rows", "reads", "term"], rows)


def distances_table() -> str:
    """Return what each distance is, one row per distance."""
    rows = [
        [
            f"`{row.name}`",
            row.help,
            "yes" if row.uses_temperature else "no",
            "yes" if row.fits_regression else "no",
            "yes" if row.of(MULTI_LABEL) else "no",
        ]
        for row in DISTANCES.values()
    ]
    return _markdown(
        ["`--distance`", "measures", "`--temperature`", "regression", "multi-label"], rows
    )


def _reads(term: Term) -> str:
    reads = {"labels": term.needs_labels, "teacher": term.needs_teacher}
    return " and ".join(name for name, needed in reads.items() if needed) or "neither"


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace(" --- ", "---")


if __name__ == "__main__":
    print("\n\n".join([objective_table(), terms_table(), distances_table()]))
